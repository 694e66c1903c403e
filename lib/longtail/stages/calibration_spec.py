"""The specification of a calibration stage: what is chosen, on which split, and which split is reported."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from yacs.config import CfgNode

from longtail.config import changed
from longtail.data import has_test_images
from longtail.errors import UserError
from longtail.evaluation import OBJECTIVES
from longtail.registry import nearest

STRENGTHS = {
    "TEST.LOGIT_ADJUSTMENT": (),
    "TEST.TAU_NORM.TAU": ("TEST.TAU_NORM.USE_TAU_NORM", True),
}  # strength that is chosen from a list -> KEY, VALUE, ... that switch it on
TEMPERATURE, OFFSETS = "TEST.TEMPERATURE", "TEST.CLASS_OFFSETS"
CHOSEN = (*STRENGTHS, OFFSETS, TEMPERATURE)
SPLITS = ("valid", "test")
REST = "rest of valid"
CALIBRATION_KEYS = ("over", "values", "fit_on", "report_on", "same_split", "hold_out", "objective")


@dataclass(frozen=True)
class Calibration:
    """A key of the config whose value is chosen.

    Attributes:
        over: The key: a strength, TEST.TEMPERATURE or TEST.CLASS_OFFSETS.
        values: Strengths to try; of ties, the first one is chosen. Empty for the other keys.
        fit_on: Split on which the value is chosen.
        report_on: Split that is reported.
        hold_out: Without a test split: the fraction of the validation images on which the value is chosen; the
            others are reported. 0: refuse a config without a test split.
        objective: Criterion: "top1" for a strength (highest), "nll" for a temperature (lowest), one of `OBJECTIVES` for
            class offsets (highest).
    """

    over: str
    values: tuple[float, ...] = ()
    fit_on: str = "valid"
    report_on: str = "test"
    hold_out: float = 0.0
    objective: str = "top1"

    def resolved(self, *, has_test: bool) -> "Calibration":
        """Return the calibration with the splits that there are.

        Raises:
            UserError: It needs a test split, and there is none.
        """
        needs_test = "test" in (self.fit_on, self.report_on)
        if needs_test and not has_test and not self.hold_out:
            raise UserError(
                "calibrate reports on the test split, but there is none: DATASET.TEST_JSON is empty; set it (or "
                "DATASET.HOLD_OUT.TEST for your own images), set hold_out to a fraction of the validation images, or "
                "set fit_on and report_on to valid and same_split to True"
            )
        if needs_test and not has_test:
            return replace(self, fit_on="valid", report_on=REST)
        return replace(self, hold_out=0.0)

    def check(self, cfg: CfgNode) -> None:
        """Refuse a split that there is not, and a strength that its key does not allow.

        Raises:
            UserError: It is one of these; the message names the split, or the key and what is allowed.
        """
        for value in self.values:
            changed(cfg, *STRENGTHS[self.over], self.over, value)
        self.resolved(has_test=has_test_images(cfg))


def read_calibration(entry: Mapping[str, Any], name: str) -> Calibration:
    """Read the calibration of an entry of a recipe.

    Raises:
        UserError: A key is missing or wrong, or the value would be chosen on the reported split without same_split.
    """
    over = entry.get("over")
    if not isinstance(over, str) or over not in CHOSEN:
        raise UserError(f"{name}: over is {over!r}; allowed: {', '.join(CHOSEN)}{nearest(str(over), CHOSEN)}")
    values, objective = _values(entry, name), _objective(entry, name)
    fit_on, report_on = entry.get("fit_on", "valid"), entry.get("report_on", "test")
    for key, split in (("fit_on", fit_on), ("report_on", report_on)):
        if split not in SPLITS:
            raise UserError(f"{name}: {key} is {split!r}; allowed: {', '.join(SPLITS)}")
    if fit_on == report_on and entry.get("same_split") is not True:
        raise UserError(
            f"{name}: {over} would be chosen on the split that is reported ({fit_on}), which overstates the result; "
            "set same_split: True to do it anyway"
        )
    hold_out = entry.get("hold_out", 0.0)
    if isinstance(hold_out, bool) or not isinstance(hold_out, (int, float)) or not 0 <= hold_out < 1:
        raise UserError(f"{name}: hold_out is {hold_out!r}; it must be a fraction, at least 0 and below 1")
    return Calibration(over, values, fit_on, report_on, float(hold_out), objective)


def _values(entry: Mapping[str, Any], name: str) -> tuple[float, ...]:
    """Return the strengths to try; none for a key whose value is computed."""
    values = entry.get("values")
    if entry["over"] not in STRENGTHS:
        if values is not None:
            raise UserError(f"{name}: values is {values!r}; {entry['over']} is computed: remove values")
        return ()
    numbers = isinstance(values, list) and all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in values)
    if not numbers or not values or not all(0 <= value <= 1e308 for value in values):
        raise UserError(f"{name}: values is {values!r}; it must be a list of numbers, at least 0")
    return tuple(float(value) for value in values)


def _objective(entry: Mapping[str, Any], name: str) -> str:
    allowed = {OFFSETS: OBJECTIVES, TEMPERATURE: ("nll",)}.get(entry["over"], ("top1",))
    objective = entry.get("objective", allowed[0])
    if objective not in allowed:
        raise UserError(f"{name}: objective of {entry['over']} is {objective!r}; allowed: {', '.join(allowed)}")
    return str(objective)
