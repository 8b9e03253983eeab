"""What is particular to an archive in a local folder, and how archives are opened by URL. What every archive does: tests/contracts/test_archive.py."""

import os
from pathlib import Path

import pytest

from transforms.archive import open_archive
from transforms.archive.local import LocalArchive
from transforms.core.errors import ObjectUnreadable, UsageError
from transforms.core.manifest import ArchiveObject


def keys(archive: LocalArchive) -> list[str]:
    return sorted(one.key for one in archive.objects())


def test_an_object_is_told_by_path_size_and_modification_time(tmp_path: Path) -> None:
    (tmp_path / "2025/11").mkdir(parents=True)
    (tmp_path / "2025/11/posts").write_bytes(b"12345")
    os.utime(tmp_path / "2025/11/posts", ns=(0, 1_762_000_000_123_456_789))
    assert list(LocalArchive(str(tmp_path)).objects()) == [ArchiveObject("2025/11/posts", 5, "5-1762000000123456789", 1_762_000_000)]


def test_names_that_start_with_a_dot_are_not_the_archives(tmp_path: Path) -> None:
    for name in (".hidden", ".git/object", "a/.partial", "a/kept", "b.gz"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    assert keys(LocalArchive(str(tmp_path))) == ["a/kept", "b.gz"]


def test_links_are_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real/one").write_bytes(b"1")
    (tmp_path / "archive").mkdir()
    (tmp_path / "archive/folder").symlink_to(tmp_path / "real")
    (tmp_path / "archive/file").symlink_to(tmp_path / "real/one")
    archive = LocalArchive(str(tmp_path / "archive"))
    assert keys(archive) == ["file", "folder/one"]
    assert [archive.read(one) for one in archive.objects()] == [b"1", b"1"]


def test_a_link_to_a_folder_above_does_not_repeat_its_objects(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/one").write_bytes(b"1")
    (tmp_path / "a/up").symlink_to(tmp_path)
    assert keys(LocalArchive(str(tmp_path))) == ["a/one"]


def test_what_is_no_regular_file_is_no_object(tmp_path: Path) -> None:
    """Reading a FIFO would wait for ever."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "one").write_bytes(b"1")
    assert keys(LocalArchive(str(tmp_path))) == ["one"]


def test_a_link_to_nothing_is_told(tmp_path: Path) -> None:
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="gone"):
        keys(LocalArchive(str(tmp_path)))


def test_a_name_that_is_not_utf8_is_told(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"caf\xe9")).write_bytes(b"x")
    with pytest.raises(UsageError, match="has a name that is not UTF-8: rename it"):
        keys(LocalArchive(str(tmp_path)))


@pytest.mark.parametrize("make", [None, "file"])
def test_a_folder_that_is_not_there_or_no_folder_is_told(tmp_path: Path, make: str | None) -> None:
    if make:
        (tmp_path / "archive").write_bytes(b"")
    archive = LocalArchive(str(tmp_path / "archive"))
    with pytest.raises(UsageError, match=r"the archive folder '.*/archive' is not there or is no folder"):
        list(archive.objects())


def test_an_object_of_the_same_size_but_another_time_has_changed(tmp_path: Path) -> None:
    path = tmp_path / "one"
    path.write_bytes(b"1")
    os.utime(path, ns=(0, 1_000_000_000))
    archive = LocalArchive(str(tmp_path))
    (planned,) = archive.objects()
    os.utime(path, ns=(0, 1_000_000_001))
    with pytest.raises(ObjectUnreadable) as caught:
        archive.read(planned)
    assert str(caught.value) == "reading the archive object 'one': object changed (1-1000000000 when planned, 1-1000000001 now, as bytes-modification time)"


def test_an_object_that_changes_while_it_is_read_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "one").write_bytes(b"1")
    archive = LocalArchive(str(tmp_path))
    (planned,) = archive.objects()
    opened = os.fstat

    def grow_after_the_first_look(descriptor: int) -> os.stat_result:
        result = opened(descriptor)
        with (tmp_path / "one").open("ab") as file:
            file.write(b"2")
        return result

    monkeypatch.setattr("transforms.archive.local.os.fstat", grow_after_the_first_look)
    with pytest.raises(ObjectUnreadable, match="object changed"):
        archive.read(planned)


def test_a_url_names_an_absolute_path(tmp_path: Path) -> None:
    folder = tmp_path / "mit Leerzeichen %"
    folder.mkdir()
    (folder / "one").write_bytes(b"1")
    (found,) = open_archive(f"file://{tmp_path}/mit%20Leerzeichen%20%25").objects()
    assert found.key == "one"


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("s4://bucket/prefix", "the archive 's4://bucket/prefix' has the scheme 's4': write file:///abs/path"),
        ("/data/archive", "the archive '/data/archive' has the scheme '': write file:///abs/path"),
        ("", "the archive '' has the scheme ''"),
        ("file://data/archive", "the archive 'file://data/archive' has no absolute path: write file:///abs/path (three slashes)"),
        ("file:data", "has no absolute path"),
        ("file://", "has no absolute path"),
    ],
)
def test_another_url_is_refused(url: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        open_archive(url)
    assert message in str(caught.value)


@pytest.mark.parametrize("url", ["file:///data/archive?region=x", "file:///data/archive#1"])
def test_a_url_that_goes_on_after_the_path_is_refused(url: str) -> None:
    """Not read as the folder before the sign: a name that holds it is written %3F or %23."""
    with pytest.raises(UsageError):
        open_archive(url)
