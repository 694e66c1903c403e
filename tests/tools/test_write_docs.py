"""The generated pages are up to date, and follow from their sources."""

import subprocess
import sys
from pathlib import Path

from longtail.config import KEYS, short_names

ROOT = Path(__file__).parent.parent.parent


def test_write_docs_pages_are_up_to_date() -> None:
    result = subprocess.run(
        [sys.executable, "tools/write_docs.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_configuration_page_has_every_key() -> None:
    page = (ROOT / "docs" / "configuration.md").read_text()
    assert all(f"| `{name}` |" in page for name in KEYS)


def test_configs_page_has_every_config() -> None:
    page = (ROOT / "docs" / "configs.md").read_text()
    for name, path in short_names().items():
        assert f"[`{name}`](../configs/{path.parent.name}/{path.name})" in page
