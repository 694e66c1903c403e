import hashlib
import os
import subprocess
import sys

import pytest

from longtail.files import atomic_write, sha256


def test_writes_bytes_and_text_as_given(tmp_path):
    with atomic_write(tmp_path / "a.bin") as file:
        file.write(b"\x00\r\n")
    with atomic_write(tmp_path / "a.txt", "w") as file:
        file.write("ü\n")
    assert (tmp_path / "a.bin").read_bytes() == b"\x00\r\n"
    assert (tmp_path / "a.txt").read_bytes() == "ü\n".encode()
    assert sorted(os.listdir(tmp_path)) == ["a.bin", "a.txt"]


def test_target_appears_only_at_the_end(tmp_path):
    path = tmp_path / "a"
    path.write_text("old")
    with atomic_write(path, "w") as file:
        file.write("new")
        file.flush()
        assert path.read_text() == "old"
    assert path.read_text() == "new"


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_exception_leaves_the_old_file_and_no_litter(tmp_path, error):
    path = tmp_path / "a"
    path.write_text("old")
    with pytest.raises(error), atomic_write(path) as file:
        file.write(b"half")
        raise error
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a"]


def test_a_failing_rename_removes_the_temporary_file(tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError), atomic_write(tmp_path / "folder") as file:
        file.write(b"x")
    assert os.listdir(tmp_path) == ["folder"]


def test_missing_folder_and_other_modes_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError), atomic_write(tmp_path / "none" / "a"):
        pass
    with pytest.raises(ValueError, match="'ab'"), atomic_write(tmp_path / "a", "ab"):
        pass
    assert os.listdir(tmp_path) == []


def test_longest_name_and_usual_permissions(tmp_path):
    path = tmp_path / ("n" * 255)
    with atomic_write(path) as file:
        file.write(b"x")
    plain = tmp_path / "plain"
    plain.write_text("x")
    assert path.stat().st_mode == plain.stat().st_mode


def test_does_not_import_torch():
    code = "import longtail.files, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("content", [b"", b"abc", bytes(range(256)) * 10_000], ids=["empty", "short", "several blocks"])
def test_sha256(tmp_path, content):
    (tmp_path / "a").write_bytes(content)
    assert sha256(tmp_path / "a") == hashlib.sha256(content).hexdigest()


def test_sha256_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        sha256(tmp_path / "absent")
