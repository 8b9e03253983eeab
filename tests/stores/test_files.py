"""Steps on files: what a reader can see at each of them."""

import errno
import os
import stat
from pathlib import Path

import pytest

from transforms.stores.files import Files, make_folder, temporary


def test_a_file_is_replaced_at_the_rename_and_not_before(tmp_path: Path) -> None:
    path, seen = tmp_path / "a" / "file", []
    Files(lambda name: seen.append((name, path.read_text() if path.exists() else None))).replace(path, lambda temp: temp.write_text("new"), name="x")
    assert seen == [
        ("before x.write", None), ("after x.write", None), ("before x.fsync", None), ("after x.fsync", None),
        ("before x.rename", None), ("after x.rename", "new"), ("before x.settle", "new"), ("after x.settle", "new"),
    ]  # fmt: skip
    assert sorted(one.name for one in path.parent.iterdir()) == ["file"]


def test_a_written_file_is_not_there_until_it_is_placed(tmp_path: Path) -> None:
    path, seen = tmp_path / "file", []
    place = Files(seen.append).written(path, lambda temp: temp.write_text("new"), name="x", prepare=lambda: seen.append("prepared"))
    assert (seen, path.exists()) == (["before x.write", "after x.write"], False)
    place()
    assert path.read_text() == "new"
    assert seen[2:] == ["before x.fsync", "after x.fsync", "prepared", "before x.rename", "after x.rename", "before x.settle", "after x.settle"]


def test_a_placing_that_fails_leaves_the_old_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    place = Files().written(path, lambda temp: temp.write_text("new"), name="x", prepare=lambda: _raising(errno.EIO)(path, path))
    with pytest.raises(OSError, match="refused"):
        place()
    assert path.read_text() == "old"
    assert not temporary(path).exists()


def test_a_write_that_fails_leaves_the_old_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")

    def write(temp: Path) -> None:
        temp.write_text("half")
        raise OSError(errno.ENOSPC, "no space")

    with pytest.raises(OSError, match="no space"):
        Files().replace(path, write, name="x")
    assert path.read_text() == "old"
    assert not temporary(path).exists()


def test_temporary_files_are_hidden_from_readers_of_folders() -> None:
    name = temporary(Path("shard-0001.parquet")).name
    assert name[0] == "_"
    assert not name.endswith(".parquet")


def test_files_have_the_mode_that_the_umask_gives(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        Files().replace(tmp_path / "folder" / "file", lambda temp: temp.write_text("x"), name="x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "folder" / "file").stat().st_mode) == 0o640
    assert stat.S_IMODE((tmp_path / "folder").stat().st_mode) == 0o750


def test_an_image_shares_the_bytes_and_stays_when_the_file_is_replaced(tmp_path: Path) -> None:
    path, image = tmp_path / "file", tmp_path / "before" / "image"
    path.write_text("old")
    Files().keep(path, image)
    assert image.samefile(path)
    Files().replace(path, lambda temp: temp.write_text("new"), name="x")
    assert (image.read_text(), path.read_text()) == ("old", "new")
    with pytest.raises(FileExistsError):
        Files().keep(path, image)


def test_the_image_of_nothing_is_empty(tmp_path: Path) -> None:
    Files().keep(tmp_path / "file", tmp_path / "image")
    assert (tmp_path / "image").read_bytes() == b""


@pytest.mark.parametrize("number", [errno.EXDEV, errno.EPERM, errno.ENOTSUP, errno.EMLINK])
def test_an_image_is_a_copy_where_there_are_no_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    monkeypatch.setattr(Path, "hardlink_to", _raising(number))
    (tmp_path / "file").write_text("old")
    Files().keep(tmp_path / "file", tmp_path / "image")
    assert (tmp_path / "image").read_text() == "old"
    assert not (tmp_path / "image").samefile(tmp_path / "file")


def test_other_errors_of_linking_are_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "hardlink_to", _raising(errno.EIO))
    (tmp_path / "file").write_text("old")
    with pytest.raises(OSError, match="refused"):
        Files().keep(tmp_path / "file", tmp_path / "image")
    assert not (tmp_path / "image").exists()


def _raising(number: int):  # noqa: ANN202
    def hardlink_to(_self: Path, _target: Path) -> None:
        raise OSError(number, "refused")

    return hardlink_to


def test_folders_are_made_by_many_at_once(tmp_path: Path) -> None:
    make_folder(tmp_path / "a" / "b")
    make_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()
