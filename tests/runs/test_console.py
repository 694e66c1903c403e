"""Log messages of a run."""

import logging
import sys
from pathlib import Path

import pytest

from longtail.errors import UserError
from longtail.runs.console import log_to_file, log_to_terminal, remembering_messages

LOGGER = logging.getLogger("longtail.test")


@pytest.fixture(autouse=True)
def handlers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Restore the handlers of the package afterwards; pytest, whose reports hold valid text only, sees no message."""
    logger = logging.getLogger("longtail")
    monkeypatch.setattr(logger, "propagate", False)
    monkeypatch.setattr(logger, "handlers", [])
    monkeypatch.setattr(logger, "level", logger.level)


def test_log_to_terminal_shows_messages_on_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    log_to_terminal()
    LOGGER.info("loss %.1f", 0.5)
    assert capsys.readouterr().out == "loss 0.5\n"
    log_to_terminal(quiet=True)  # at its position
    LOGGER.info("loss")
    LOGGER.warning("damaged")
    assert capsys.readouterr().out == "damaged\n"


def test_log_to_file_begins_with_earlier_messages(tmp_path: Path) -> None:
    path = tmp_path / "train.log"
    path.write_text("before\n")
    with remembering_messages() as earlier:
        LOGGER.info("found")
        with log_to_file(path, earlier):
            LOGGER.warning("trained")
            # What no encoding holds; straight to the file, because pytest collects messages that it cannot send on.
            record = logging.LogRecord("a", logging.WARNING, "", 0, "read \ud800", None, None)
            logging.getLogger("longtail").handlers[-1].emit(record)
    LOGGER.info("afterwards")
    first, second, third, fourth = path.read_text().splitlines()
    assert first == "before"
    assert second.endswith(" INFO found")
    assert third.endswith(" WARNING trained")
    assert fourth.endswith(r" WARNING read \ud800")


def test_log_to_file_reports_a_folder_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^log .* cannot be written: Is a directory$"), log_to_file(tmp_path):
        pass


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_log_to_file_reports_a_full_disk_in_one_line() -> None:
    assert sys.platform == "linux"
    with (
        pytest.raises(UserError, match="log /dev/full cannot be written: No space left"),
        log_to_file(Path("/dev/full")),
    ):
        LOGGER.info("loss")


def test_terminal_that_is_gone_leaves_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log_to_terminal()
    with open("/dev/null") as unwritable, log_to_file(tmp_path / "train.log"):
        monkeypatch.setattr(sys, "stdout", unwritable)
        LOGGER.info("one")
        LOGGER.info("two")
    lines = [line.split(" ", 2)[2] for line in (tmp_path / "train.log").read_text().splitlines()]
    assert lines[0].startswith("WARNING standard output can no longer be written: ")
    assert lines[-1] == "INFO two"


def test_terminal_shows_names_that_it_cannot_encode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open(tmp_path / "out", "w", encoding="ascii") as terminal:
        monkeypatch.setattr(sys, "stdout", terminal)
        log_to_terminal()
        LOGGER.info("é \udcff")
    assert (tmp_path / "out").read_text() == "\\xe9 \\udcff\n"
