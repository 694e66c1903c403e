"""Trainings under several seeds and values of keys."""

from pathlib import Path
from typing import Any

import pytest

from longtail.comparing import sweep as sweeping
from longtail.comparing.compare import compare
from longtail.comparing.sweep import sweep, sweep_configs
from longtail.engine.interrupts import Interrupted
from longtail.errors import UserError
from tests.helpers.training import CPU, stop_after

TINY: list[Any] = [
    *("BACKBONE.TYPE", "tiny", "TRAIN.BATCH_SIZE", 64, "TRAIN.MAX_EPOCH", 1, "TRAIN.AMP", "off"),
    *("TEST.BATCH_SIZE", 256, "TRAIN.TENSORBOARD.ENABLE", False),
]


def configs(tmp_path: Path, **options: Any) -> list[Any]:
    return sweep_configs("digits_lt,ce", [*TINY, "OUTPUT_DIR", str(tmp_path)], **options)


def test_sweep_configs_are_the_product(tmp_path: Path) -> None:
    settings = [("LOSS.LOSS_TYPE", ["CrossEntropy", "FocalLoss"]), ("TRAIN.OPTIMIZER.BASE_LR", ["0.1", "0.2"])]
    found = [
        (cfg.LOSS.LOSS_TYPE, cfg.TRAIN.OPTIMIZER.BASE_LR, cfg.RAND_SEED)
        for cfg in configs(tmp_path, seeds=[3, 4], settings=settings)
    ]
    assert found == [
        (loss, rate, seed) for loss in ("CrossEntropy", "FocalLoss") for rate in (0.1, 0.2) for seed in (3, 4)
    ]


def test_sweep_configs_without_seeds_or_settings_is_the_config(tmp_path: Path) -> None:
    (cfg,) = configs(tmp_path)
    assert cfg.RAND_SEED == sweep_configs("digits_lt,ce")[0].RAND_SEED


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ([("LOSS.LOSS_TYP", ["a"])], "unknown key LOSS.LOSS_TYP"),
        ([("LOSS.LOSS_TYPE", [])], "has no values"),
        ([("NAME", ["a", "OUTPUT_DIR", "runs"])], "OUTPUT_DIR is a key, not a value of --set; KEY VALUE of all runs"),
        ([("RAND_SEED", ["1"])], "swept twice"),
        ([("DATASET.DATASET", ["digits_lt", "cifar10_lt"])], "DATASET.DATASET chooses the validation images"),
        (
            [("DATASET.VALID_JSON", ["a.json", "b.json"])],
            r"VALID_JSON chooses .* runs of 'a\.json' and 'b\.json' cannot",
        ),
        ([("TRAIN.MAX_EPOCH", ["many"])], "must be a whole number"),
    ],
)
def test_sweep_configs_refuses_invalid_values(tmp_path: Path, settings: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        configs(tmp_path, seeds=[0], settings=settings)


@pytest.mark.parametrize(
    ("key", "values"),
    [("ROOT", ["photos", "more"]), ("HOLD_OUT.SEED", [0, 1]), ("HOLD_OUT.FOLDS", [2, 3]), ("HOLD_OUT.VALID", [1, 2])],
)
def test_sweep_configs_refuses_to_hold_out_different_images(key: str, values: list[Any]) -> None:
    settings = [(f"DATASET.{key}", values)]
    with pytest.raises(UserError, match=rf"^DATASET\.{key} chooses the validation images, so the runs of .* cannot"):
        sweep_configs("own,ce", ["DATASET.ROOT", "photos"], settings=settings)
    valid = ["DATASET.ROOT", "photos", "DATASET.VALID_JSON", "valid.json"]  # these images are the same for all
    assert len(sweep_configs("own,ce", valid, settings=settings)) == 2
    assert len(sweep_configs("own,ce", ["DATASET.ROOT", "photos"], settings=[(f"DATASET.{key}", values[:1])])) == 1


def test_sweep_of_folds_checks_that_all_exist_before_the_first_training(tmp_path: Path) -> None:
    keys = ["DATASET.ROOT", str(tmp_path), "DATASET.HOLD_OUT.FOLDS", 2, "OUTPUT_DIR", str(tmp_path / "output")]
    found = sweep_configs("own,ce", keys, settings=[("DATASET.HOLD_OUT.FOLD", [1, 2, 3])])
    assert [cfg.DATASET.HOLD_OUT.FOLD for cfg in found] == [1, 2, 3]
    with pytest.raises(UserError, match=r"^fold 3 of 2 does not exist"):
        sweep(found, "own,ce", place=CPU)
    assert not list(tmp_path.iterdir())


def test_sweep_configs_refuses_a_recipe() -> None:
    with pytest.raises(UserError, match="is a recipe"):
        sweep_configs("digits_lt,crt")


def test_sweep_checks_all_configs_before_the_first_training(tmp_path: Path) -> None:
    wrong = configs(tmp_path, settings=[("LOSS.LOSS_TYPE", ["CrossEntropy", "NoLoss"])])
    with pytest.raises(UserError, match="NoLoss"):
        sweep(wrong, "x.yaml", place=CPU)
    assert not list(tmp_path.iterdir())


def test_sweep_checks_each_precision_before_the_first_training(tmp_path: Path) -> None:
    wrong = sweep_configs(
        "digits_lt,ce",
        [*TINY, "OUTPUT_DIR", str(tmp_path), "TRAIN.OPTIMIZER.SAM_RHO", 0.1],
        settings=[("TRAIN.AMP", ["off", "fp16"])],
    )
    with pytest.raises(UserError, match="gradient scaler of fp16"):
        sweep(wrong, "x.yaml", place=CPU)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_sweep_resumes_and_keeps_finished_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = configs(tmp_path, seeds=[0, 1], settings=[("LOSS.LOSS_TYPE", ["CrossEntropy", "BalancedSoftmaxCE"])])
    with monkeypatch.context() as patch, pytest.raises(Interrupted):
        stop_after(6, patch)  # in the second run of four
        sweep(wanted, "x.yaml", place=CPU)
    runs = sweep(wanted, "x.yaml", place=CPU)
    assert len(set(runs)) == 4
    assert len(list((tmp_path / "digits_lt_ce").iterdir())) == 4
    comparison = compare([str(run) for run in runs])
    assert [line.label for line in comparison.lines] == ["LOSS_TYPE CrossEntropy", "LOSS_TYPE BalancedSoftmaxCE"]
    assert [line.seeds for line in comparison.lines] == [[0, 1], [0, 1]]
    monkeypatch.setattr(sweeping, "check_training", lambda *args: None)
    assert sweep(wanted, "x.yaml", place=CPU) == runs
