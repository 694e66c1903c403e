"""Comparison of finished runs."""

import csv
import io
import re
from pathlib import Path
from typing import Any

import pytest

from longtail.comparing.compare import Comparison, compare
from longtail.comparing.tables import FORMATS, as_csv, as_latex, as_markdown, as_text
from longtail.errors import UserError
from tests.comparing.conftest import MakeRun

BALANCED = ["LOSS.LOSS_TYPE", "BalancedSoftmaxCE"]
SEED = ["DATASET.HOLD_OUT.SEED", 5]


@pytest.fixture
def comparison(make_run: MakeRun, tmp_path: Path) -> Comparison:
    """Return a comparison of two losses over three seeds, of which one lacks a run."""
    for seed, top1 in enumerate((0.80, 0.82, 0.84)):
        make_run(seed=seed, top1=top1, few=0.1, nll=1.0)
    for seed, top1 in ((0, 0.83), (1, 0.84)):
        make_run(*BALANCED, name="bsce", seed=seed, top1=top1, few=0.3, nll=0.9)
    return compare([str(tmp_path / "output" / "ce"), str(tmp_path / "output" / "bsce")], metrics=["top1", "few", "nll"])


@pytest.mark.slow
def test_compare_groups_runs_without_the_seed(comparison: Comparison) -> None:
    assert [(line.label, line.seeds) for line in comparison.lines] == [("ce", [0, 1, 2]), ("bsce", [0, 1])]
    top1: Any = comparison.lines[0].metrics["top1"]
    assert top1 == (pytest.approx(0.82), pytest.approx(0.02), 3)
    assert comparison.lines[0].hours == 2


def test_compare_pairs_differences_by_seed(comparison: Comparison) -> None:
    assert comparison.lines[0].differences == {}
    found = comparison.lines[1].differences["top1"]
    assert found is not None and found.low is not None and found.high is not None
    assert list(found) == pytest.approx([0.025, 0.02, 0.03, 2])


def test_compare_lists_the_keys_that_differ(comparison: Comparison) -> None:
    assert [dict(line.keys) for line in comparison.lines] == [
        {"LOSS.LOSS_TYPE": "CrossEntropy"},
        {"LOSS.LOSS_TYPE": "BalancedSoftmaxCE"},
    ]


def test_compare_baseline_comes_first(make_run: MakeRun, tmp_path: Path) -> None:
    make_run(top1=0.8)
    make_run(*BALANCED, name="bsce", top1=0.9)
    folder = str(tmp_path)
    assert [line.label for line in compare([folder], baseline="ce").lines] == ["ce", "bsce"]
    assert [line.label for line in compare([folder], baseline="bsce").lines] == ["bsce", "ce"]
    with pytest.raises(UserError, match=r"--baseline 'cee' is not a group; available: .*; did you mean ce"):
        compare([folder], baseline="cee")


def test_compare_labels_groups_of_one_name_by_their_keys(make_run: MakeRun, tmp_path: Path) -> None:
    make_run(top1=0.8)
    make_run(*BALANCED, "TRAIN.OPTIMIZER.BASE_LR", 0.3, top1=0.9)
    labels = [line.label for line in compare([str(tmp_path)]).lines]
    assert labels == ["LOSS_TYPE CrossEntropy, BASE_LR 0.001", "LOSS_TYPE BalancedSoftmaxCE, BASE_LR 0.3"]


def test_compare_labels_groups_by_the_keys_that_differ_within_their_name(make_run: MakeRun, tmp_path: Path) -> None:
    long = [*BALANCED, "TRAIN.OPTIMIZER.MOMENTUM", 0.5, "TRAIN.LR_SCHEDULER.TYPE", "cosine", "TRAIN.BATCH_SIZE", 7]
    for rate in (0.1, 0.2):
        make_run("TRAIN.OPTIMIZER.BASE_LR", rate, top1=0.8)
    make_run(*long, name="other", top1=0.9)
    assert [line.label for line in compare([str(tmp_path)]).lines] == ["ce BASE_LR 0.1", "ce BASE_LR 0.2", "other"]


def test_compare_numbers_groups_whose_keys_are_long(make_run: MakeRun, tmp_path: Path) -> None:
    make_run(top1=0.8)
    make_run("TRAIN.LR_SCHEDULER.LR_STEP", list(range(1, 40)), top1=0.8)
    assert [line.label for line in compare([str(tmp_path)]).lines] == ["ce 1", "ce 2"]


def test_compare_uses_the_newest_run_of_a_seed(make_run: MakeRun, tmp_path: Path) -> None:
    make_run(top1=0.5)
    make_run(top1=0.6)
    (line,) = compare([str(tmp_path)]).lines
    top1: Any = line.metrics["top1"]
    assert top1 == (pytest.approx(0.6), None, 1)


def test_compare_ignores_keys_that_do_not_change_results(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("TRAIN.NUM_WORKERS", 3, seed=0, top1=0.5)
    make_run("TRAIN.NUM_WORKERS", 5, seed=1, top1=0.6)
    assert len(compare([str(tmp_path)]).lines) == 1


def test_compare_best_evaluation(make_run: MakeRun) -> None:
    run = make_run(top1=0.5)
    (line,) = compare([str(run)], moment="best").lines
    top1: Any = line.metrics["top1"]
    assert top1 == (pytest.approx(0.6), None, 1)


def test_compare_leaves_out_unfinished_runs(make_run: MakeRun, tmp_path: Path) -> None:
    make_run(top1=0.5)
    unfinished = make_run(seed=1, top1=0.6, finished=False)
    comparison = compare([str(tmp_path)])
    assert comparison.lines[0].seeds == [0]
    assert comparison.skipped == [str(unfinished)]
    assert f"not finished, skipped: {unfinished}" in as_text(comparison)


def test_compare_ignores_configs_inside_of_runs(make_run: MakeRun, tmp_path: Path) -> None:
    """Loggers and generated images have files of that name, too."""
    run = make_run(top1=0.5)
    other = Path(run) / "wandb" / "files"
    other.mkdir(parents=True)
    (other / "config.yaml").write_text("a: 1\n")
    assert compare([str(tmp_path)]).skipped == []


def test_compare_refuses_runs_of_other_images(make_run: MakeRun, tmp_path: Path) -> None:
    make_run(top1=0.5)
    other = make_run(name="other", top1=0.6, valid="another")
    more = make_run(name="other", top1=0.6, valid="another", seed=1)
    with pytest.raises(UserError, match=r"different images.*; name the runs .*\(longtail compare RUN RUN\)"):
        compare([str(tmp_path)])
    assert compare([str(other), str(more)]).lines[0].seeds == [0, 1]


@pytest.mark.parametrize(
    ("overrides", "difference"),
    [
        (["DATASET.HOLD_OUT.SEED", 1], r"DATASET\.HOLD_OUT\.SEED 0 and 1"),
        (
            ["DATASET.ROOT", "more", "DATASET.HOLD_OUT.VALID", 3],
            r"DATASET\.ROOT '' and 'more', .*\.VALID 0\.2 and 3\.0",
        ),
        (["DATASET.VALID_JSON", "valid.json"], r"DATASET\.VALID_JSON '' and 'valid\.json'"),
        ([], "chosen by the same keys, so the files have changed"),
    ],
)
def test_compare_names_the_keys_by_which_images_differ(
    make_run: MakeRun, tmp_path: Path, overrides: list[Any], difference: str
) -> None:
    first = make_run("DATASET.DATASET", "own", top1=0.5)
    second = make_run("DATASET.DATASET", "own", *overrides, top1=0.5, valid="another")
    with pytest.raises(UserError, match=rf"evaluated on different images \({difference}\); "):
        compare([str(second), str(first)])


def test_compare_refuses_other_data_sets_where_fingerprints_are_unknown(make_run: MakeRun, tmp_path: Path) -> None:
    make_run(top1=0.5)
    make_run("DATASET.DATASET", "cifar10_lt", name="other", top1=0.6, valid="")
    with pytest.raises(UserError, match=r"different images \(.*digits_lt.*\)"):
        compare([str(tmp_path)])


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("absent", "is not a folder"),
        ("empty", "does not contain a run directory"),
        ("output", "no run in .* is finished"),
    ],
)
def test_compare_refuses_folders_without_finished_runs(
    make_run: MakeRun, tmp_path: Path, path: str, message: str
) -> None:
    make_run(top1=0.5, finished=False)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=message):
        compare([str(tmp_path / path)])


def test_compare_refuses_unknown_metrics(make_run: MakeRun, tmp_path: Path) -> None:
    make_run(top1=0.5)
    with pytest.raises(UserError, match="no run has the metric top7; available: top1"):
        compare([str(tmp_path)], metrics=["top7"])


@pytest.mark.slow
def test_as_text(comparison: Comparison) -> None:
    lines = as_text(comparison).splitlines()
    cells = ["ce", "3", "82.00 ± 2.00", "10.00 ± 0.00", "1.0000 ± 0.0000", "1,234,567", "2"]
    assert any(re.split(" {2,}", line) == cells for line in lines)
    assert any(line.startswith("bsce") and "+2.50 [+2.00, +3.00]" in line for line in lines)
    assert any(line.split() == ["LOSS.LOSS_TYPE", "CrossEntropy", "BalancedSoftmaxCE"] for line in lines)


def test_as_csv_has_plain_numbers(comparison: Comparison) -> None:
    rows = list(csv.DictReader(io.StringIO(as_csv(comparison))))
    assert [row["runs"] for row in rows] == ["ce", "bsce"]
    assert float(rows[0]["top1_mean"]) == pytest.approx(0.82)
    assert rows[0]["top1_difference"] == "" and float(rows[1]["top1_difference"]) == pytest.approx(0.025)
    assert rows[1]["seeds"] == "0 1" and rows[1]["LOSS.LOSS_TYPE"] == "BalancedSoftmaxCE"


@pytest.mark.slow
def test_as_markdown(comparison: Comparison) -> None:
    lines = as_markdown(comparison).splitlines()
    assert lines[0] == "| runs | n | top1 | few | nll | parameters | hours |"
    assert lines[1].count("---") == 7
    assert lines[2].startswith("| ce | 3 | 82.00 ± 2.00 |")


def test_as_latex(make_run: MakeRun, tmp_path: Path) -> None:
    make_run(seed=0, name="a_b", top1=0.5)
    make_run(seed=1, name="a_b", top1=0.6)
    lines = as_latex(compare([str(tmp_path)])).splitlines()
    assert lines[0] == r"\begin{tabular}{lrrrr}"
    assert lines[4] == r"a\_b & 2 & 55.00 $\pm$ 7.07 & 1,234,567 & 2 \\"
    assert lines[-1] == r"\end{tabular}"


@pytest.mark.parametrize("kind", FORMATS)
def test_formats_of_one_run(make_run: MakeRun, kind: str) -> None:
    text: Any = FORMATS[kind](compare([str(make_run(top1=0.5))]))
    assert text.endswith("\n") and ("50.00" in text or "0.5" in text)


def folds(fold: int, number: int = 3) -> list[Any]:
    return ["DATASET.HOLD_OUT.FOLDS", number, "DATASET.HOLD_OUT.FOLD", fold]


@pytest.mark.slow
def test_compare_averages_over_the_folds_of_a_cross_validation(make_run: MakeRun, tmp_path: Path) -> None:
    for fold, top1 in ((1, 0.7), (2, 0.8), (3, 0.9)):
        make_run(*folds(fold), top1=top1, valid=f"images {fold}")
        make_run(*folds(fold), *BALANCED, name="bsce", top1=top1 + 0.05, valid=f"images {fold}")
    comparison = compare([str(tmp_path)], baseline="ce", metrics=["top1"])
    assert "standard deviation over folds" in as_text(comparison)
    plain, balanced = comparison.lines
    assert plain.seeds == balanced.seeds == ["0/1", "0/2", "0/3"]
    accuracy = plain.metrics["top1"]
    assert accuracy is not None and list(accuracy) == pytest.approx([0.8, 0.1, 3])
    difference = balanced.differences["top1"]
    assert difference is not None and list(difference) == pytest.approx([0.05, 0.05, 0.05, 3])
    assert set(balanced.keys) == {"LOSS.LOSS_TYPE"}


@pytest.mark.parametrize(
    ("overrides", "valid"),
    [(folds(1), "others"), (folds(2, number=4), "images 2"), ([], "images 1"), ([*folds(2), *SEED], "images 2")],
)
def test_compare_refuses_folds_of_other_divisions(
    make_run: MakeRun, tmp_path: Path, overrides: list[Any], valid: str
) -> None:
    make_run(*folds(1), top1=0.7, valid="images 1")
    make_run(*overrides, name="bsce", top1=0.8, valid=valid)
    with pytest.raises(UserError, match="were evaluated on different images"):
        compare([str(tmp_path)])
