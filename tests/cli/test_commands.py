"""The commands as functions: `longtail train` and `longtail valid` with their arguments."""

from pathlib import Path

import pytest

from longtail.cli import train as train_command
from longtail.cli import valid as valid_command
from longtail.cli.main import main
from longtail.cli.own_images import with_own_images
from longtail.config import to_yaml
from longtail.runs.directory import RunDirectory, parent_of_runs
from tests.helpers.training import FinishedRun, TinyConfig, read_json


@pytest.fixture(autouse=True)
def no_details(monkeypatch: pytest.MonkeyPatch) -> None:
    """Skip tables and figures of evaluations, and the log in the terminal."""
    monkeypatch.setattr("longtail.stages.evaluate._write_details", lambda *args, **kwargs: None)
    monkeypatch.setattr("longtail.stages.sweep.plot_sweep", lambda *args: None)
    monkeypatch.setattr("longtail.runs.console.log_to_terminal", lambda quiet=False: None)


def evaluations(run: RunDirectory) -> set[Path]:
    folder = run.path / "evaluation"
    return set(folder.iterdir()) if folder.is_dir() else set()


@pytest.mark.slow
def test_train_and_finished_run(tiny_cfg: TinyConfig, tmp_path: Path) -> None:
    cfg = tiny_cfg("TRAIN.MAX_EPOCH", 3)
    config = tmp_path / "x.yaml"
    config.write_text(to_yaml(cfg))
    words = [str(config), "--gpus", "cpu", "TRAIN.MAX_EPOCH", "1"]
    assert main(["train", *words]) == 0
    (path,) = parent_of_runs(cfg).iterdir()
    run = RunDirectory(path)
    results = read_json(run.results)
    assert (results["config"], results["epochs"], results["finished"]) == (str(config), 1, True)
    assert train_command.main(words) == 0
    assert train_command.script("", ["--cfg", *words]) == 0
    assert [entry.name for entry in parent_of_runs(cfg).iterdir()] == [path.name]
    assert train_command.main([*words, "--resume", "never"]) == 0
    assert len(list(parent_of_runs(cfg).iterdir())) == 2


@pytest.mark.slow
def test_train_runs_a_recipe(tiny_cfg: TinyConfig, tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(to_yaml(tiny_cfg("TRAIN.MAX_EPOCH", 3)))
    (tmp_path / "r.yaml").write_text("name: r\nstages:\n  - {name: a, config: x.yaml}\n")
    words = ["--gpus", "cpu", "a:TRAIN.MAX_EPOCH", "1"]
    assert main(["recipe", str(tmp_path / "r.yaml"), *words]) == 0
    summary = tmp_path / "output" / "r" / "summary.json"
    (stage,) = read_json(summary)["stages"]
    assert stage["epochs"] == 1
    assert train_command.script("", ["--recipe", str(tmp_path / "r.yaml"), *words]) == 0
    assert read_json(summary)["stages"] == [stage]


@pytest.mark.slow
@pytest.mark.parametrize("how", ["directory", "config", "script"])
def test_valid_evaluates_a_run(finished_run: FinishedRun, how: str) -> None:
    run = finished_run()
    before = evaluations(run)
    source = str(run.path if how == "directory" else run.config)
    words = ["--gpus", "cpu", "TEST.MODEL_FILE", "last.pth"]
    ended = valid_command.script("", ["--cfg", source, *words]) if how == "script" else main(["valid", source, *words])
    assert ended == 0
    (folder,) = evaluations(run) - before
    assert read_json(folder / "results.json")["ensemble"] == read_json(run.results)["last"]["ensemble"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tau", "logit_adjustment"])
def test_valid_sweeps_what_follows_the_option(finished_run: FinishedRun, name: str) -> None:
    run = finished_run()
    before = evaluations(run)
    option = f"--{name.replace('_', '-')}-sweep"
    words = [str(run.path), "--gpus", "cpu", option, "0", "0.5", "TEST.MODEL_FILE", "last.pth"]
    assert main(["valid", *words]) == 0
    (folder,) = evaluations(run) - before
    lines = (folder / f"{name}_sweep.csv").read_text().splitlines()
    assert {line.split(",")[0] for line in lines[1:]} == {"0", "0.5"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["absent"], "config 'absent' is neither a YAML file, nor a name under configs/"),
        (["digits_lt,ce"], "checkpoint best_ensemble.pth is neither in "),
        (["digits_lt,ce", "--tau-sweep", "0", "0.5", "TEST.MODEL_FILE", "no.pth"], "checkpoint no.pth is neither in"),
        (["digits_lt,ce", "--tau-sweep", "-1"], "TEST.TAU_NORM.TAU is -1.0; it must be"),
    ],
)
def test_valid_refuses_in_one_line(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["valid", *words, "--gpus", "cpu"]) == 2
    shown = capsys.readouterr().err
    assert shown.startswith("error: ") and message in shown and shown.count("\n") == 1


def test_valid_of_a_folder_that_is_not_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["valid", str(tmp_path), "--gpus", "cpu"]) == 2
    assert capsys.readouterr().err == f"error: {tmp_path} is not a run directory: it has no config.yaml\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train", "--resume", "x"], "the following arguments are required: CONFIG; --help"),
        (
            ["sweep", "digits_lt,ce", "--seeds", "0", "OUTPUT_DIR", "x"],
            "'OUTPUT_DIR' is not a seed; KEY VALUE of all runs comes before",
        ),
    ],
)
def test_commands_in_another_order_are_refused_with_a_hint(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(words)
    assert message in capsys.readouterr().err


@pytest.mark.slow
def test_train_of_a_run_directory_is_that_of_its_config(finished_run: FinishedRun) -> None:
    run = finished_run()
    assert with_own_images(str(run.path), ["NAME", "x"]) == (str(run.config), ["NAME", "x"])


@pytest.mark.parametrize(
    ("overrides", "swept", "fitted"),
    [([], [], True), (["TRAIN.BATCH_SIZE", "8"], [], False), ([], ["TRAIN.BATCH_SIZE"], False), ([], ["NAME"], True)],
)
def test_batch_size_is_fitted_to_few_images_unless_the_user_sets_it(
    overrides: list[str], swept: list[str], fitted: bool, tmp_path: Path
) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for number in range(10):
            (tmp_path / name / f"{number}.png").touch()
    _, found = with_own_images(str(tmp_path), overrides, swept)
    assert ("TRAIN.OPTIMIZER.BASE_LR" in found) == fitted
    assert found.count("TRAIN.BATCH_SIZE") == fitted + ("TRAIN.BATCH_SIZE" in overrides)
