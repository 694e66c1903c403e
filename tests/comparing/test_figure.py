"""The figure of a comparison."""

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from longtail.comparing.compare import compare
from longtail.comparing.figure import plot_comparison
from longtail.errors import UserError
from longtail.evaluation.figures import style
from tests.comparing.conftest import MakeRun


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Return a list that receives the figures that are drawn."""
    drawn: list[Any] = []

    def new_figure(width: float, height: float) -> Any:
        drawn.append(style.new_figure(width, height))
        return drawn[-1]

    monkeypatch.setattr("longtail.comparing.figure.new_figure", new_figure)
    return drawn


def some_runs(make_run: MakeRun) -> list[str]:
    runs = [make_run(seed=seed, top1=0.5 + seed / 50, many=0.8, few=0.1 + seed / 20, nll=1.0) for seed in range(3)]
    runs.append(make_run("TRAIN.BATCH_SIZE", 64, name="bälanced_$oftmax", top1=0.6, many=0.7))
    return [str(run) for run in runs]


@pytest.mark.slow
def test_plot_comparison_has_one_point_per_group_and_metric(
    make_run: MakeRun, tmp_path: Path, figures: list[Any]
) -> None:
    plot_comparison(tmp_path / "new.png", compare(some_runs(make_run), metrics=["top1", "many", "few", "nll"]))
    (axes,) = figures[0].axes
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["all", "many", "few"]
    first, second = axes.containers
    assert first.get_label() == "ce (n = 3)" and second.get_label() == "bälanced_$oftmax (n = 1)"
    assert list(first.lines[0].get_ydata()) == pytest.approx([52, 80, 15])
    assert len(second.lines[0].get_xdata()) == 2  # no run has "few"
    assert not set(first.lines[0].get_xdata()) & set(second.lines[0].get_xdata())
    assert Image.open(tmp_path / "new.png").size[0] > 500


@pytest.mark.slow
def test_legend_covers_no_axes(make_run: MakeRun, tmp_path: Path, figures: list[Any]) -> None:
    plot_comparison(tmp_path / "new.png", compare(some_runs(make_run)))
    (figure,) = figures
    assert not figure.legends[0].get_window_extent().overlaps(figure.axes[0].get_tightbbox())


@pytest.mark.parametrize(("file", "metric", "message"), [("x.pdf", "top1", "must be a"), ("x.png", "nll", "not nll")])
def test_plot_comparison_refuses(make_run: MakeRun, tmp_path: Path, file: str, metric: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        plot_comparison(tmp_path / file, compare(some_runs(make_run), metrics=[metric]))
