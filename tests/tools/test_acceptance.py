"""Acceptance: expectations from records; an unchanged training meets them, a broken loss does not."""

from pathlib import Path

import pytest
from torch import Tensor, nn
from torch.nn import functional as F

from longtail.errors import UserError
from longtail.losses import BalancedSoftmax, Prediction
from longtail.models import BACKBONES
from longtail.models.backbones.base import StagedBackbone
from longtail.precision import in_float32
from tests.helpers.training_fixtures import no_figures
from tests.tools.test_leaderboard import record
from tools import acceptance
from tools.small_runs import (
    Expected,
    Row,
    expectations,
    read_expectations,
    read_rows,
    read_small_records,
    train_row,
    write_expectations,
    write_small_record,
)

__all__ = ["no_figures"]

ROOT = Path(__file__).parent.parent.parent
ROWS = """
data: digits_lt
set: {VALID_STEP: -1, SAVE_STEP: -1, TRAIN.TENSORBOARD.ENABLE: False, BACKBONE.TYPE: pixels, TRAIN.MAX_EPOCH: 30,
      TRAIN.LR_SCHEDULER.LR_STEP: [20, 25], TRAIN.OPTIMIZER.BASE_LR: 0.05, DATASET.VIEWS: [none]}
rows: [{config: balanced_softmax, acceptance: True}]
left_out: {}
"""


class Pixels(StagedBackbone):
    """One hidden layer on the 8x8 pixels of a digit: fast, and nearly the same accuracy from every seed."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(192, 64), nn.BatchNorm1d(64), nn.ReLU())
        self.set_stages({"body": 64})

    def stem(self, images: Tensor) -> Tensor:
        """Return the pixels of images (B, 3, 32, 32), (B, 192)."""
        return F.adaptive_avg_pool2d(images, 8).flatten(1)


BACKBONES.register("pixels")(lambda options: Pixels())


def test_expectations_are_means_and_four_deviations() -> None:
    rows = [Row("ce", "digits_lt,ce", accepted=True), Row("ncl", "digits_lt,ncl")]
    records = [record("ce", seed, top1, few=0.5) for seed, top1 in enumerate((0.7, 0.8, 0.9))]
    assert expectations(rows, [*records, record("ncl", 1, 0.1)]) == [
        Expected("ce", "top1", 0.8, 0.4, 3),
        Expected("ce", "few", 0.5, 0.03, 3),
    ]
    with pytest.raises(UserError, match="ce has 1 records, but at least 2 are needed"):
        expectations(rows, records[:1])


def test_expected_allows_its_tolerance_only() -> None:
    expected = Expected("ce", "top1", 0.8, 0.05, 3)
    assert expected.allows(0.76) and expected.allows(0.84)
    assert not expected.allows(0.74) and not expected.allows(0.86)
    assert not expected.allows(float("nan"))


def test_expectations_are_written_and_read(tmp_path: Path) -> None:
    expected = [Expected("ce", "top1", 0.8, 0.4, 3)]
    write_expectations(expected, tmp_path / "x.yaml")
    assert read_expectations(tmp_path / "x.yaml") == expected
    (tmp_path / "x.yaml").write_text("- {row: ce}")
    with pytest.raises(UserError, match=r"x\.yaml is not a file of expectations"):
        read_expectations(tmp_path / "x.yaml")


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Options of the command for a tiny network, with expectations from three seeds."""
    folder = tmp_path_factory.mktemp("acceptance")
    (folder / "rows.yaml").write_text(ROWS)
    (row,) = read_rows(folder / "rows.yaml").rows
    with pytest.MonkeyPatch.context() as patch:
        no_drawing(patch)
        for seed in (1, 2, 3):
            trained = train_row(row, seed, output=folder / "output", gpus="cpu")
            write_small_record(trained, folder / "records")
    found = ["--rows", str(folder / "rows.yaml"), "--records", str(folder / "records"), "--gpus", "cpu"]
    found += ["--expected", str(folder / "acceptance.yaml"), "--output", str(folder / "again")]
    assert acceptance.main([*found, "--make"]) == 0
    return found


def no_drawing(patch: pytest.MonkeyPatch) -> None:
    from tests.helpers.training import without_figures

    without_figures(patch)


@pytest.mark.slow
def test_acceptance_passes_what_trains_as_before(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert acceptance.main([*options, "--seed", "2"]) == 0
    assert "all met" in capsys.readouterr().out


def other_sign(loss: BalancedSoftmax, prediction: Prediction) -> dict[str, Tensor]:
    """The prior is subtracted instead of added."""
    return {"ce": F.cross_entropy(in_float32(prediction.logits) - loss.adjustment, prediction.targets)}


def shifted_targets(loss: BalancedSoftmax, prediction: Prediction) -> dict[str, Tensor]:
    """Every sample learns the next class."""
    return {"ce": F.cross_entropy(in_float32(prediction.logits), (prediction.targets + 1) % 10)}


@pytest.mark.slow
@pytest.mark.parametrize("broken", [other_sign, shifted_targets])
def test_acceptance_fails_a_broken_loss(
    options: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], broken: object
) -> None:
    monkeypatch.setattr(BalancedSoftmax, "terms", broken)
    assert acceptance.main([*options, "--seed", "2"]) == 1
    assert "FAILED" in capsys.readouterr().out


def test_shipped_expectations_follow_from_the_records() -> None:
    expected = expectations(read_rows().rows, read_small_records(ROOT / "docs" / "leaderboard"))
    assert expected and read_expectations(ROOT / "acceptance.yaml") == expected


def test_missing_expectations_are_refused_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert acceptance.main(["--expected", str(tmp_path / "none.yaml")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
