"""Atomic writes, and digests."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from longtail.files import atomic_write, remove_temporary_files, sha256, sha256_or


def test_atomic_write_bytes_and_text_as_given(tmp_path: Path) -> None:
    with atomic_write(tmp_path / "a.bin") as file:
        file.write(b"\x00\r\n")
    with atomic_write(tmp_path / "a.txt", "w") as file:
        file.write("ü\n")
    assert (tmp_path / "a.bin").read_bytes() == b"\x00\r\n"
    assert (tmp_path / "a.txt").read_bytes() == "ü\n".encode()
    assert sorted(os.listdir(tmp_path)) == ["a.bin", "a.txt"]


def test_atomic_write_replaces_the_file_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("old")
    with atomic_write(path, "w") as file:
        file.write("new")
        file.flush()
        assert path.read_text() == "old"
    assert path.read_text() == "new"


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_atomic_write_after_an_exception_leaves_the_old_file_alone(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "a"
    path.write_text("old")
    with pytest.raises(error), atomic_write(path) as file:
        file.write(b"half")
        raise error
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a"]


def test_atomic_write_removes_the_temporary_file_if_renaming_fails(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError), atomic_write(tmp_path / "folder") as file:
        file.write(b"x")
    assert os.listdir(tmp_path) == ["folder"]


def test_atomic_write_refuses_missing_folders_and_other_modes(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), atomic_write(tmp_path / "none" / "a"):
        pass
    with pytest.raises(ValueError, match="'ab'"), atomic_write(tmp_path / "a", "ab"):
        pass
    assert os.listdir(tmp_path) == []


def test_atomic_write_takes_the_longest_name_with_usual_permissions(tmp_path: Path) -> None:
    path = tmp_path / ("n" * 255)
    with atomic_write(path) as file:
        file.write(b"x")
    plain = tmp_path / "plain"
    plain.write_text("x")
    assert path.stat().st_mode == plain.stat().st_mode


def test_atomic_write_keeps_the_permissions_of_an_existing_file(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("old")
    path.chmod(0o640)
    with atomic_write(path, "w") as file:
        file.write("new")
    assert path.stat().st_mode & 0o777 == 0o640


def test_atomic_write_follows_symbolic_links(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    target, link = tmp_path / "folder" / "a", tmp_path / "link"
    target.write_text("old")
    link.symlink_to(target)
    with atomic_write(link, "w") as file:
        file.write("new")
    assert link.is_symlink() and target.read_text() == "new"


def test_remove_temporary_files_of_atomic_write_only(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), atomic_write(tmp_path / "last.pth") as file:
        (left,) = tmp_path.iterdir()
        (tmp_path / "copy").write_bytes(b"")
        name = left.name
        file.write(b"half")
        raise RuntimeError
    kept = ["copy", ".hidden.tmp", "last.pth.tmp"]
    for other in (name, *kept):
        (tmp_path / other).write_text("")
    remove_temporary_files(tmp_path)
    assert sorted(os.listdir(tmp_path)) == sorted(kept)
    remove_temporary_files(tmp_path / "absent")


def test_files_does_not_import_torch() -> None:
    code = "import longtail.files, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("content", [b"", b"abc", bytes(range(256)) * 10_000], ids=["empty", "short", "several blocks"])
def test_sha256(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a").write_bytes(content)
    assert sha256(tmp_path / "a") == hashlib.sha256(content).hexdigest()


def test_sha256_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        sha256(tmp_path / "absent")


def test_sha256_of_a_lost_file_is_a_word(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"content")
    assert sha256_or(tmp_path / "a", "lost") == sha256(tmp_path / "a") == hashlib.sha256(b"content").hexdigest()
    assert sha256_or(tmp_path / "b", "lost") == sha256_or(tmp_path, "lost") == "lost"
