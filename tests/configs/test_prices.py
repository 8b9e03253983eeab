"""Price files: the project's own, and what replaces a part of it."""

from pathlib import Path

import pytest

from configs.prices import load_prices
from transforms.core.errors import UsageError


def test_a_file_replaces_what_it_names(tmp_path: Path) -> None:
    usual, path = load_prices(), tmp_path / "tokyo.yaml"
    path.write_text("s3_get_per_1000: 0.00037\ns3_out_per_gb: 0\n")
    prices = load_prices(str(path))
    assert (prices.s3_get_per_1000, prices.s3_out_per_gb, prices.s3_put_per_1000) == (0.00037, 0.0, usual.s3_put_per_1000)
    assert prices.as_of == str(path)
    path.write_text("as_of: ap-northeast-1, November 2026\n")
    assert load_prices(str(path)).as_of == "ap-northeast-1, November 2026"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("s3_gets_per_1000: 1", "there is no price 's3_gets_per_1000'; did you mean s3_get_per_1000?"),
        ("s3_get_per_1000: cheap", "s3_get_per_1000: 'cheap' is no price in dollars"),
        ("s3_get_per_1000: -1", "'-1' is no price"),
        ("s3_get_per_1000: inf", "'inf' is no price"),
        ("s3_get_per_1000: nan", "'nan' is no price"),
        ("s3_get_per_1000: [1]", "is no price"),
        ("- 1", "must be a mapping"),
    ],
)
def test_what_is_no_price_list_is_refused_by_name(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "prices.yaml"
    path.write_text(text + "\n")
    with pytest.raises(UsageError) as raised:
        load_prices(str(path))
    assert said in str(raised.value)
    assert str(path) in str(raised.value)


def test_a_file_that_is_not_there_is_wrong_usage(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.yaml"):
        load_prices(str(tmp_path / "none.yaml"))
