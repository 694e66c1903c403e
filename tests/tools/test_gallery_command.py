"""Tests of tools/gallery.py and of the page in docs."""

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def command(capsys):
    """Return a function that runs tools/gallery.py: exit code, standard output and standard error."""
    spec = importlib.util.spec_from_file_location("gallery_command", ROOT / "tools" / "gallery.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def call(*arguments):
        code = module.main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def test_gallery_page_up_to_date(command):
    code, out, _ = command("--check")
    assert (code, out) == (0, f"{ROOT}/docs/gallery.md: up to date\n")


def test_gallery_check_changed_page(command, tmp_path):
    page = tmp_path / "gallery.md"
    assert command("--page", page)[0] == 0
    assert command("--page", page, "--check")[0] == 0
    page.write_text(page.read_text().replace("22.46", "21.46"))
    code, out, _ = command("--page", page, "--check")
    assert (code, out) == (1, f"{page}: not up to date; run tools/gallery.py\n")


def test_gallery_check_missing_page(command, tmp_path):
    page = tmp_path / "gallery.md"
    assert command("--page", page, "--check")[0] == 1
    assert not page.exists()


def test_gallery_missing_runs_folder(command, tmp_path):
    code, _, err = command("--runs", tmp_path / "nothing", "--page", tmp_path / "gallery.md")
    assert (code, err) == (2, f"error: --runs {tmp_path}/nothing is no folder\n")
    assert not (tmp_path / "gallery.md").exists()
