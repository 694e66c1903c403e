"""The trust measurements run with few trials, find no faults, and detect planted faults."""

import importlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from longtail.errors import UserError

FOLDER = Path(__file__).parents[2] / "benchmarks" / "trust"
Load = Callable[[str], Any]


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Iterator[Load]:
    """Return a function that imports a script of benchmarks/trust; their generic names are forgotten afterwards."""
    names = {path.stem for path in FOLDER.glob("*.py")}
    monkeypatch.syspath_prepend(str(FOLDER))
    yield importlib.import_module
    for name in names:
        sys.modules.pop(name, None)


def with_timeout(load: Load, name: str, *, minutes: float) -> Any:
    """Import a script whose processes wait for each other for so many minutes."""
    script = load(name)
    keys = (None, *script.SETTINGS)
    script.SETTINGS = tuple(
        minutes if key == "TRAIN.PEER_TIMEOUT" else value for key, value in zip(keys, script.SETTINGS, strict=False)
    )
    return script


def test_trials_count_every_kind_of_end(load: Load, capsys: pytest.CaptureFixture[str]) -> None:
    trials = load("common").Trials("things")

    def refuse(text: str) -> None:
        raise UserError(text)

    ends = [trials.run(lambda: None, "a"), trials.run(lambda: refuse("one"), "b")]
    ends += [trials.run(lambda: refuse("one\ntwo"), "c"), trials.run(lambda: 1 / 0, "d")]
    assert ends == ["fine", "refused", "several lines", "traceback"]
    assert trials.report() == 2
    assert "things: 4 trials" in capsys.readouterr().out


def test_command_reports_exit_code_and_lines(load: Load, tmp_path: Path) -> None:
    command = load("command_lines").command

    def main(words: list[str]) -> int:
        sys.stdout.write(f"in {os.getcwd()}\n")
        sys.stderr.write("error: wrong\n")
        return int(words[0])

    assert command(main, [0], folder=tmp_path) == f"in {tmp_path}\nerror: wrong\n"
    with pytest.raises(UserError, match=r"^error: wrong$"):
        command(main, [2], folder=tmp_path)
    with pytest.raises(AssertionError, match="exit code 1"):
        command(main, [1], folder=tmp_path)


@pytest.mark.slow
def test_converters_find_no_faults(load: Load, capsys: pytest.CaptureFixture[str]) -> None:
    assert load("converters").main(["--trials", "17"]) == 0
    assert "converters: 17 trials: " in capsys.readouterr().out


def test_converters_see_what_is_listed_twice(load: Load, tmp_path: Path) -> None:
    converters = load("converters")
    (tmp_path / "imgs").mkdir()
    (tmp_path / "imgs" / "a.png").write_bytes(b"")
    (tmp_path / "out").mkdir()
    entry = '{"fpath": "../imgs/a.png"}'
    (tmp_path / "out" / "train.json").write_text(f'{{"annotations": [{entry}, {entry}]}}')
    wrong: list[str] = []
    converters.convert_and_check(lambda words: 0, [], tmp_path, wrong)
    assert wrong == ["[]: an image is listed twice, and no line says so"]


@pytest.mark.slow
def test_commands_find_no_faults(load: Load, capsys: pytest.CaptureFixture[str]) -> None:
    assert load("commands").main(["--trials", "6"]) == 0
    assert "evaluation: 3 trials: " in capsys.readouterr().out


@pytest.mark.slow
def test_recipes_find_no_faults(load: Load, capsys: pytest.CaptureFixture[str]) -> None:
    assert load("recipes").main(["--trials", "4", "--states", "1"]) == 0
    assert "repaired by the same command: 1 of 1" in capsys.readouterr().out


def test_recipes_damage_every_file_of_a_recipe(load: Load) -> None:
    states = load("recipes").states()
    assert len(states) > 100
    assert len({name for name, _, _ in states}) == len(states)


@pytest.mark.slow
@pytest.mark.parametrize(("signals", "processes"), [("KILL", 1), ("TERM", 1), ("USR1", 2)])
def test_interruptions_find_no_faults(
    load: Load, capsys: pytest.CaptureFixture[str], signals: str, processes: int
) -> None:
    command = ["--trials", "1", "--signals", signals, "--processes", str(processes)]
    assert with_timeout(load, "interruptions", minutes=0.2).main(command) == 0
    assert f"{signals}, {processes} process(es): 1 trials with " in capsys.readouterr().out


@pytest.mark.slow
def test_disk_finds_no_faults(load: Load, capsys: pytest.CaptureFixture[str]) -> None:
    assert load("disk").main(["--sizes", "1", "--parts", "full", "limits", "lost", "memory"]) == 0
    assert "limits of the size of files (RLIMIT_FSIZE): 1 ended in one line" in capsys.readouterr().out


@pytest.mark.slow
def test_ranks_find_no_faults(load: Load, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert with_timeout(load, "ranks", minutes=0.2).main(["--trials", "2"]) == 0
    assert "stopped or killed (forks): 2 trials, 0 faults" in capsys.readouterr().out


@pytest.mark.slow
def test_long_run_reads_memory_and_handles(load: Load, capsys: pytest.CaptureFixture[str]) -> None:
    load("long_run").main(["--epochs", "12", "--every", "1"])
    assert "\n12 epochs in " in "\n" + capsys.readouterr().out


def test_long_run_sees_growth(load: Load) -> None:
    report = load("long_run").report
    flat = [(epoch, 1e6, 20) for epoch in range(1, 101)]
    assert not report(flat, 100, seconds=1)
    assert report([(epoch, 1e6 + 3 * epoch, 20) for epoch in range(1, 101)], 100, seconds=1)
    assert report([(epoch, 1e6, 20 + epoch) for epoch in range(1, 101)], 100, seconds=1)


@pytest.mark.slow
def test_checks_cost_prints_the_fraction(load: Load, capsys: pytest.CaptureFixture[str]) -> None:
    load("small")
    assert load("checks_cost").main(["--epochs", "1", "--set", "BACKBONE.TYPE", "tiny"]) == 0
    assert "together: " in capsys.readouterr().out
