"""The examples of docs/extending.md train."""

import math
import re
from pathlib import Path

import pytest

from longtail.losses.base import LOSSES
from longtail.methods import METHODS
from tests.helpers.training import read_json, read_records, tiny_config, train, without_figures

PAGE = Path(__file__).resolve().parents[1] / "docs" / "extending.md"


@pytest.mark.slow
def test_examples_of_the_page_train_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for registry in (LOSSES, METHODS):
        monkeypatch.setattr(registry, "_entries", dict(registry._entries))
    examples = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(examples) == 2
    for example in examples:
        exec(compile(example, str(PAGE), "exec"), {"__name__": "example"})
    without_figures(monkeypatch)
    run = train(tiny_config(tmp_path, "LOSS.LOSS_TYPE", "SoftmaxFocal", "TRAIN.COMBINER.TYPE", "prototypes"))
    records = read_records(run, "train")
    assert len(records) > 1 and all(math.isfinite(record["loss/distance"]) for record in records)
    assert all("loss/focal" in record for record in records)
    assert records[-1]["loss"] < records[0]["loss"]
    assert read_json(run.results)["finished"]
