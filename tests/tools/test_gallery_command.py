"""The command that writes the gallery, and the page that ships."""

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def command(capsys):
    """Return a caller of tools/gallery.py: (exit code, standard output, standard error)."""
    spec = importlib.util.spec_from_file_location("gallery_command", ROOT / "tools" / "gallery.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def call(*arguments):
        code = module.main([str(argument) for argument in arguments])
        told = capsys.readouterr()
        return code, told.out, told.err

    return call


def test_the_page_that_ships_is_up_to_date(command):
    code, out, _ = command("--check")
    assert (code, out) == (0, f"{ROOT}/docs/gallery.md: up to date\n")


def test_a_page_that_was_changed_by_hand_is_noticed(command, tmp_path):
    page = tmp_path / "gallery.md"
    assert command("--page", page)[0] == 0
    assert command("--page", page, "--check")[0] == 0
    page.write_text(page.read_text().replace("22.46", "21.46"))
    code, out, _ = command("--page", page, "--check")
    assert (code, out) == (1, f"{page}: not up to date; run tools/gallery.py\n")


def test_a_page_that_is_missing_is_noticed_and_not_written(command, tmp_path):
    page = tmp_path / "gallery.md"
    assert command("--page", page, "--check")[0] == 1
    assert not page.exists()


def test_a_folder_that_is_not_there_is_told(command, tmp_path):
    code, _, err = command("--runs", tmp_path / "nothing", "--page", tmp_path / "gallery.md")
    assert (code, err) == (2, f"error: --runs {tmp_path}/nothing is no folder\n")
    assert not (tmp_path / "gallery.md").exists()
