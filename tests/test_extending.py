"""The examples of docs/extending.md train."""

import math
import re
from pathlib import Path

import pytest

from longtail.config import load_config
from longtail.losses.base import LOSSES
from longtail.methods import METHODS
from tests.helpers.training import read_json, read_records, tiny_config, train, without_figures

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "extending.md"


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


def test_settings_of_a_data_set_for_a_method_follow_that_method(tmp_path: Path) -> None:
    (example,) = re.findall(r"```yaml\n(_BASE_: own\n.*?)```", PAGE.read_text(), re.DOTALL)
    (data := tmp_path / "birds.yaml").write_text(example)
    assert load_config(f"{data},ncl").TRAIN.MAX_EPOCH == 200
    assert load_config("own,ncl").TRAIN.MAX_EPOCH == 400
    assert load_config(f"{data},ncl,epochs_400").TRAIN.MAX_EPOCH == 400
    assert load_config(f"{data},ncl", ["TRAIN.MAX_EPOCH", 7]).TRAIN.MAX_EPOCH == 7


@pytest.mark.parametrize("page", ["README.md", "docs/configs.md", "docs/extending.md"])
def test_pages_name_the_section_for_methods(page: str) -> None:
    assert "_FOR_" in (ROOT / page).read_text()
