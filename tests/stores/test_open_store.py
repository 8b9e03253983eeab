"""Store URLs."""

import os
from pathlib import Path

import pytest

from tests.contracts.harness import put
from tests.core.rollup_tables import row
from transforms.core.errors import UsageError
from transforms.stores import open_store


def test_a_folder_that_is_not_there_is_made_at_the_first_write(tmp_path: Path) -> None:
    store = open_store(f"parquet://{tmp_path}/new/store%20of%20caf%C3%A9")
    assert store.last_generation() == 0
    assert store.shard_count("host", "2025-11-01") is None
    assert list(store.scan("1m")) == []
    assert not (tmp_path / "new").exists()
    put(store, [row()])
    assert (tmp_path / "new" / "store of café" / "metric_type=host").is_dir()


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("redis2://h:1/0", r"'redis2://h:1/0' has no known scheme; write .*parquet:///absolute/path"),
        ("/srv/rollups", r"'/srv/rollups' has no known scheme; write .*parquet:///"),
        ("", r"'' has no known scheme"),
        ("parquet://rollups/x", r"has a relative path; write parquet:///.*/rollups/x"),
        ("parquet://", r"has a relative path"),
        ("parquet://user:hunter2@host/x", r"parquet://…@host/x holds a user name or password"),
        ("valkey://:hunter2@host/0", r"valkey://…@host/0 holds a user name or password"),
        ("parquet:///x?token=hunter2", r"parquet:///x goes on with \?, which parquet:// has no use for"),
    ],
)
def test_a_wrong_url_is_answered_with_what_would_be_right(url: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as refused:
        open_store(url)
    assert "hunter2" not in str(refused.value)


def test_a_file_is_no_store(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(UsageError, match="file is not a folder"):
            open_store(f"parquet://{path}")


def test_a_folder_that_can_not_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda _path, mode: not mode & os.W_OK)
    with pytest.raises(UsageError, match="can't be written: this user has no right to"):
        open_store(f"parquet://{tmp_path}/new")
    open_store(f"parquet://{tmp_path}", writable=False)


def test_a_store_to_read_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        open_store(f"parquet://{tmp_path}/new", writable=False)
