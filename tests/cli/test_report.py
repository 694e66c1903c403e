"""`longtail report`: the page and the figures of a run."""

import json
import shutil
from pathlib import Path

import pytest

from longtail.cli.main import main
from longtail.config import load_config, to_yaml
from longtail.reporting import redraw
from longtail.reporting.record import read_run
from longtail.stages import evaluate
from tests.helpers.made_up_runs import made_up_run
from tests.helpers.training import NCL, TinyConfig, train


def data_of(page: Path) -> list[dict[str, object]]:
    text = page.read_text().split('id="data">')[1].split("</script>")[0]
    runs: list[dict[str, object]] = json.loads(text)["runs"]
    return runs


@pytest.mark.slow
def test_report_of_a_trained_run_shows_its_images(tiny_cfg: TinyConfig, capsys: pytest.CaptureFixture[str]) -> None:
    run = train(tiny_cfg("TRAIN.MAX_EPOCH", 1, method=NCL)).path
    assert main(["report", str(run), "--evaluate", "--gpus", "cpu"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == str(run / "report.html")
    (content,) = data_of(run / "report.html")
    mistakes = content["mistakes"]
    assert isinstance(mistakes, dict)
    assert mistakes["note"] == ""
    assert mistakes["items"][0]["image"].startswith("data:image/png;base64,")
    metrics = content["metrics"]
    assert isinstance(metrics, list)
    assert metrics[0]["values"] == metrics[2]["values"]  # best epoch, evaluated again


def test_report_evaluates_a_calibrated_run_with_its_values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = made_up_run(tmp_path / "run" / "2026", 5)
    shutil.rmtree(run / "evaluation")
    (run / "calibrated.yaml").write_text(to_yaml(load_config(run / "config.yaml", ["TEST.TEMPERATURE", 2.5])))
    used: list[float] = []
    monkeypatch.setattr(evaluate, "validate", lambda cfg, folder, place: used.append(cfg.TEST.TEMPERATURE))
    assert main(["report", str(run), "--evaluate", "--gpus", "cpu", "--no-images"]) == 0
    assert used == [2.5]


@pytest.mark.slow
def test_report_writes_where_it_is_asked_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = [str(made_up_run(tmp_path / name / "2026", 5)) for name in ("first", "second")]
    assert main(["report", *runs, "--output", str(tmp_path / "two.html"), "--no-images"]) == 0
    assert [run["name"] for run in data_of(tmp_path / "two.html")] == ["first/2026", "second/2026"]
    monkeypatch.chdir(tmp_path)
    assert main(["report", *runs, "--no-images"]) == 0
    assert (tmp_path / "report.html").is_file()


def test_report_refuses_a_folder_that_is_not_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(tmp_path)]) == 2
    assert capsys.readouterr().err == f"error: {tmp_path} is not a run directory: it has no config.yaml\n"
    assert main(["report", str(tmp_path), "--figures", "--output", "x"]) == 2


@pytest.mark.parametrize("named", [True, False])
def test_redrawn_figures_have_the_names_of_the_classes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: bool
) -> None:
    record = read_run(made_up_run(tmp_path / "run" / "2026", 5))
    assert record.classes
    names = [f"bird {label}" if named else "" for label in range(5)]
    for row, name in zip(record.classes, names, strict=True):
        row["name"] = name
    given: list[object] = []
    for plot in ("plot_class_counts", "plot_per_class_accuracy", "plot_confusion"):
        monkeypatch.setattr(redraw, plot, lambda *values: given.append(values[-1].names))
    monkeypatch.setattr(redraw, "plot_curves", lambda *values: None)
    redraw.redraw_figures(record)
    assert given == [names if named else ()] * 3


@pytest.mark.slow
@pytest.mark.figures
def test_figures_of_a_finished_run_are_drawn_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = made_up_run(tmp_path / "run" / "2026", 5)
    assert not list((run / "figures").iterdir())
    assert main(["report", str(run), "--figures"]) == 0
    drawn = [Path(line) for line in capsys.readouterr().out.splitlines()]
    assert [path.name for path in drawn] == [
        "curves.png",
        "class_counts.png",
        "per_class_accuracy.png",
        "confusion.png",
    ]
    assert all(path.stat().st_size > 1000 for path in drawn)


def test_figures_need_something_to_draw(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "config.yaml").write_text("NAME: x\n")
    assert main(["report", str(tmp_path), "--figures"]) == 2
    assert "has nothing to draw" in capsys.readouterr().err
