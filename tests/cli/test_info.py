"""longtail info."""

import pytest

from longtail.cli.main import main

Capture = pytest.CaptureFixture[str]
TINY = ["BACKBONE.TYPE", "tiny", "TRAIN.BATCH_SIZE", "64", "TRAIN.AMP", "off"]


@pytest.mark.slow
def test_info_prints_settings_size_and_time(capsys: Capture) -> None:
    assert main(["info", "digits_lt,ce", *TINY, "--gpus", "cpu"]) == 0
    text = capsys.readouterr().out
    headings = [line for line in text.splitlines() if not line.startswith(" ")]
    assert headings == ["differs from the defaults:", "data:", "network:", "training:"]
    assert "'tiny'" in text


@pytest.mark.parametrize(
    ("words", "message"),
    [(["digits_lt,crt"], "is a recipe"), (["digits_lt,ce", "TRAIN.BATCH_SIZ", "3"], "TRAIN.BATCH_SIZE")],
)
def test_info_refuses_invalid_commands(capsys: Capture, words: list[str], message: str) -> None:
    assert main(["info", *words, "--gpus", "cpu"]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
