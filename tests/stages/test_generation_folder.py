"""Folders of generated images: what a killed generation leaves, and errors of writing."""

from pathlib import Path

import pytest

from longtail.errors import UserError
from longtail.stages.generation_folder import GenerationFolder


@pytest.fixture
def folder(tmp_path: Path) -> GenerationFolder:
    return GenerationFolder(tmp_path / "images", tmp_path / "list.json", inputs={"a": 1}, suffix=".png")


def test_temporary_files_of_a_killed_generation_are_not_other_files(folder: GenerationFolder) -> None:
    folder.path.mkdir()
    (folder.path / ".generation.json.0123456789ab.tmp").write_text("{")
    folder.claim("x: 1")
    folder.unlock()


def test_other_files_are_refused(folder: GenerationFolder) -> None:
    folder.path.mkdir()
    (folder.path / "photo.png").touch()
    with pytest.raises(UserError, match="holds other files; use an empty folder"):
        folder.claim("x: 1")


def test_list_that_cannot_be_written_is_reported_in_one_line(folder: GenerationFolder) -> None:
    folder.target.mkdir()  # a folder where the file belongs
    with pytest.raises(UserError, match=r"annotation file .*list\.json.* cannot be written"):
        folder.finish([0], [(1, 1)], num_classes=1)


def test_image_that_was_lost_before_it_was_recorded_is_not_present(folder: GenerationFolder) -> None:
    folder.path.mkdir(parents=True, exist_ok=True)
    folder.file(0).write_bytes(b"an image")
    folder.record([0, 1])
    assert folder.present() == {folder.file(0).name}
