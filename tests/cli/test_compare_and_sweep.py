"""longtail sweep and longtail compare."""

from pathlib import Path

import pytest

from longtail.cli.compare import FORMATS
from longtail.cli.main import main
from longtail.comparing import tables

Capture = pytest.CaptureFixture[str]
TINY = [
    *("BACKBONE.TYPE", "tiny", "TRAIN.BATCH_SIZE", "64", "TRAIN.MAX_EPOCH", "1", "TRAIN.AMP", "off"),
    *("TEST.BATCH_SIZE", "256", "TRAIN.TENSORBOARD.ENABLE", "False"),
]


@pytest.mark.slow
def test_sweep_ends_with_the_table_that_compare_prints(tmp_path: Path, capsys: Capture) -> None:
    words = ["digits_lt,ce", *TINY, "OUTPUT_DIR", str(tmp_path), "--seeds", "0", "1"]
    assert main(["sweep", *words, "--set", "TRAIN.OPTIMIZER.BASE_LR", "0.02", "0.2", "--gpus", "cpu"]) == 0
    printed = capsys.readouterr().out
    assert "run 4 of 4" in printed
    assert main(["compare", str(tmp_path)]) == 0
    table = capsys.readouterr().out
    assert printed.endswith(table)
    assert "difference to BASE_LR 0.02, paired by seed" in table
    output = tmp_path / "table.csv"
    words = ["--format", "csv", "--output", str(output), "--figure", str(tmp_path / "figure.png")]
    assert main(["compare", str(tmp_path), "--metrics", "macro_f1", *words]) == 0
    assert output.read_text().startswith("runs,n,seeds,macro_f1_mean,")
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")


def test_low_priority_is_set_before_anything_else(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[bool] = []
    monkeypatch.setattr("longtail.cli.sweep.lower_priority", lambda: called.append(True))
    assert main(["sweep", "absent_config", "--low-priority"]) == 2
    assert called == [True] and "absent_config" in capsys.readouterr().err


def test_compare_formats_of_the_command_are_those_of_the_library() -> None:
    assert tuple(tables.FORMATS) == FORMATS


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["sweep", "digits_lt,crt", "--seeds", "0"], "is a recipe"),
        (["sweep", "digits_lt,ce", "--set", "TRAIN.MAX_EPOCH"], "has no values"),
        (["compare", "absent"], "is not a folder"),
        (["compare", "absent", "--figure", "x.pdf"], "--figure x.pdf must be a .png file"),
    ],
)
def test_invalid_commands_are_refused_in_one_line(capsys: Capture, words: list[str], message: str) -> None:
    assert main(words) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_help_lists_all_commands_without_torch(capsys: Capture) -> None:
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    for name in ("train", "valid", "predict", "info", "export", "compare", "sweep", "list", "recipe"):
        assert f"\n  {name} " in text
