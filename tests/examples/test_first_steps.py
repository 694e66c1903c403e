"""The examples run unchanged, with fewer epochs."""

import re
from pathlib import Path

import pytest

from tests.helpers.training import without_figures

EXAMPLE = Path(__file__).parent.parent.parent / "examples" / "first_steps.py"


@pytest.mark.slow
def test_first_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    without_figures(monkeypatch)
    monkeypatch.chdir(tmp_path)
    source, changed = re.subn(r"^EPOCHS = \d+$", "EPOCHS = 1", EXAMPLE.read_text(), flags=re.MULTILINE)
    assert changed == 1
    exec(compile(source, EXAMPLE, "exec"), {})
    printed = capsys.readouterr().out.splitlines()  # with the log, if an earlier test has switched it on
    assert sum(line.startswith(("ce  ", "balanced_softmax  ")) for line in printed) == 2
    assert sum(line.startswith("cross-entropy, strength") for line in printed) == 4
    assert sum(line.startswith("digit ") and line.count("%") == 2 for line in printed) == 5
