"""Many globs at once against fnmatchcase one by one; series files."""

from fnmatch import fnmatchcase

import pytest
from hypothesis import given, strategies as st

from transforms.core.errors import UsageError
from transforms.core.globs import matcher, read_series_file

TEXTS = st.text(st.sampled_from("ab/*?[]!-|(\n."), max_size=8)


@given(st.lists(TEXTS, max_size=6), st.lists(TEXTS, max_size=10))
def test_many_globs_match_as_each_of_them_does(globs: list[str], paths: list[str]) -> None:
    matches = matcher(tuple(globs))
    assert [matches(path) for path in paths + globs] == [any(fnmatchcase(path, glob) for glob in globs) for path in paths + globs]


SEGMENTS = st.lists(st.sampled_from(["a", "b", "", "*", "a*", "?", "[a]"]), min_size=3, max_size=6).map("/".join)


@given(st.lists(SEGMENTS, max_size=12), st.lists(st.lists(st.sampled_from(["a", "b", "ab", ""]), min_size=2, max_size=6).map("/".join), max_size=12))
def test_so_they_do_however_many_slashes_there_are(globs: list[str], paths: list[str]) -> None:
    matches = matcher(tuple(globs))
    assert [matches(path) for path in paths] == [any(fnmatchcase(path, glob) for glob in globs) for path in paths]


def test_a_series_file() -> None:
    body = b"# shard 2\n\nhost/acme/*/load*\n  service/acme/shop/orders  \n\t# more\nhost/acme/*/load*\nrole/*\n*"
    assert read_series_file(body, "hit.txt") == ("host/acme/*/load*", "service/acme/shop/orders", "role/*", "*")


@pytest.mark.parametrize("body", [b"\xef\xbb\xbfhost/a/b/c\r\n\r\n#x\r\nhost/a/b/d\r\n", b"host/a/b/c\nhost/a/b/d"])
def test_byte_order_marks_and_line_ends_do_not_matter(body: bytes) -> None:
    assert read_series_file(body, "hit.txt") == ("host/a/b/c", "host/a/b/d")


def test_names_keep_what_is_inside_them() -> None:
    assert read_series_file("host/日本/h 1/a#b[ ]\n".encode(), "hit.txt") == ("host/日本/h 1/a#b[ ]",)


RIGHT = "a line is type/org/entity/name, the type one of service, labeled, role, host, such as host/acme/*/loadavg5"


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b"hosts/acme/h1/cpu", "'hosts/acme/h1/cpu' begins with the type 'hosts'"),
        (b"/acme/h1/cpu", "'/acme/h1/cpu' begins with the type ''"),
        (b"Host/*", "'Host/*' begins with the type 'Host'"),
        (b"host/acme/h1", "'host/acme/h1' can match no series"),
        (b"cpu.user", "'cpu.user' can match no series"),
        (b"host/acme?h1", "'host/acme?h1' can match no series"),
    ],
)
def test_a_line_that_can_match_nothing_is_named(line: bytes, problem: str) -> None:
    with pytest.raises(UsageError) as raised:
        read_series_file(b"# hit\r\n\r\n" + line + b"\r\nhost/*\r\n", "hit.txt")
    assert str(raised.value) == f"the series file 'hit.txt', line 3: {problem}: {RIGHT}"


@pytest.mark.parametrize("line", [b"host?acme[/]h1/cpu", b"ho[s]t/acme/h1/cpu", b"host/a//c", b"?ost/a/b/c"])
def test_wildcards_may_stand_for_slashes_and_types(line: bytes) -> None:
    assert read_series_file(line, "hit.txt") == (line.decode(),)


@pytest.mark.parametrize("text", ["host/a/b/c\n".encode("utf-16"), "host/a/b/c\n".encode("utf-16-le"), b"host/caf\xe9/b/c"])
def test_other_encodings_are_refused(text: bytes) -> None:
    with pytest.raises(UsageError, match=r"the series file 'hit.txt', line 1: b.* is not UTF-8: save the file as UTF-8 text"):
        read_series_file(text, "hit.txt")


@pytest.mark.parametrize("body", [b"", b"\n\n", b"# nothing\n", b"\xef\xbb\xbf"])
def test_a_file_without_a_glob_does_not_mean_everything(body: bytes) -> None:
    with pytest.raises(UsageError, match=r"the series file 'hit\.txt' names no series: put type/org/entity/name on a line each"):
        read_series_file(body, "hit.txt")
