"""The generated pages are up to date with their sources."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from longtail.config import KEYS, short_names
from tools.method_pages import all_groups, file_of, navigation
from tools.results_page import read_published
from tools.small_runs import read_rows

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.slow
def test_write_docs_pages_are_up_to_date() -> None:
    result = subprocess.run(
        [sys.executable, "tools/write_docs.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_configuration_page_has_every_key() -> None:
    page = (ROOT / "docs" / "configuration.md").read_text()
    assert all(f"| `{name}` |" in page for name in KEYS)
    assert "<= 1,048,576 |" in page and "e+" not in page  # bounds with all digits


def test_configs_page_has_every_config() -> None:
    page = (ROOT / "docs" / "configs.md").read_text()
    for name, path in short_names().items():
        assert f"[`{name}`](../configs/{path.parent.name}/{path.name})" in page


@pytest.mark.slow
def test_every_method_page_is_written_and_in_the_navigation() -> None:
    published = read_published(ROOT / "docs" / "results.yaml")
    rows = read_rows()
    names = {file_of(row) for group in all_groups(published, rows) for row in group.rows}
    assert {path.name for path in (ROOT / "docs" / "methods").iterdir()} == names
    assert len(names) == sum(len(group.rows) for group in all_groups(published, rows))
    assert navigation(published, rows) in (ROOT / "mkdocs.yml").read_text()


def test_method_page_holds_command_config_and_numbers() -> None:
    page = (ROOT / "docs" / "methods" / "ldam-drw.md").read_text()
    for part in ("longtail train cifar100_im100,ldam,drw", "LDAMLoss", "arXiv 1906.07413", "| Cao | ", "## Measured"):
        assert part in page


def test_method_page_has_the_numbers_on_digits_of_its_own_training() -> None:
    pages = {path.stem: path.read_text() for path in (ROOT / "docs" / "methods").iterdir()}
    assert "5 seeds, 34 epochs" in pages["bag_of_tricks"]
    assert "epochs)" not in pages["bag_of_tricks-second"]  # a stage before the last one
    assert "5 seeds, 32 epochs" in pages["epochs_400-mixup"]  # Digits-LT has a schedule of its own
    assert "mixup" not in pages


def test_method_page_names_the_paper_of_the_rows_before_it() -> None:
    page = (ROOT / "docs" / "methods" / "epochs_400-mixup-balance.md").read_text()
    assert "*Paper*: Zhang et al., Bag of Tricks, AAAI 2021.\n" in page


def test_links_between_pages_lead_to_files() -> None:
    wrong = []
    for page in (ROOT / "docs").rglob("*.md"):
        text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
            if "://" not in target and not (page.parent / target).exists():
                wrong.append((page.name, target))
    assert not wrong
