"""The sections of a report, against plain loops over the files of a run."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from longtail.errors import UserError
from longtail.evaluation import read_samples
from longtail.reporting import describe_run, read_run
from longtail.reporting.reliability import reliability
from tests.helpers.made_up_runs import made_up_run

NAMES = ["<script>alert(1)</script>", *(f"class {i}" for i in range(1, 10))]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_up_run(tmp_path_factory.mktemp("output") / "made_up" / "2026", names=NAMES)


@pytest.fixture(scope="module")
def content(run: Path) -> dict[str, Any]:
    return describe_run(read_run(run), images=False)


def samples_of(run: Path) -> Any:
    (folder,) = (run / "evaluation").iterdir()
    return read_samples(folder / "samples.npz")


def test_report_names_run_and_metrics(content: dict[str, Any]) -> None:
    assert content["name"] == "made_up/2026"
    assert content["finished"]
    assert [entry["of"] for entry in content["metrics"]] == ["best epoch", "last epoch", "evaluation"]
    assert content["facts"]["parameters"] == 1391916
    assert content["facts"]["duration"] == "1.2 h"


@pytest.mark.parametrize(("seconds", "shown"), [(7.3, "7 s"), (90.0, "2 min"), (1740, "29 min"), (7200.0, "2.0 h")])
def test_duration_has_a_unit(run: Path, seconds: float, shown: str) -> None:
    record = replace(read_run(run), results={"seconds": seconds})
    assert describe_run(record, images=False)["facts"] == {"duration": shown}


def with_results(run: Path, folder: Path, **entries: Any) -> Path:
    """Copy a run, and set entries of results.json of its evaluation; None: remove the entry."""
    copy = shutil.copytree(run, folder)
    (evaluation,) = (copy / "evaluation").iterdir()
    content = json.loads((evaluation / "results.json").read_text()) | entries
    known = {key: value for key, value in content.items() if value is not None}
    (evaluation / "results.json").write_text(json.dumps(known))
    return copy


@pytest.mark.parametrize(
    ("changed", "shown"),
    [
        ({}, []),
        ({"TEST.TTA": "five_crops", "TEST.CLASS_OFFSETS": [0.5, -1.0]}, ["TTA five_crops", "CLASS_OFFSETS 0.5, -1.0"]),
        (None, ["unknown settings"]),
    ],
)
def test_evaluation_is_reported_with_the_keys_that_differ(
    run: Path, tmp_path: Path, changed: dict[str, Any] | None, shown: list[str]
) -> None:
    content = describe_run(read_run(with_results(run, tmp_path / "run", changed=changed)), images=False)
    assert [text.removeprefix("TEST.") for text in content["metrics"][-1]["changed"]] == shown


def test_curves_hold_every_epoch(content: dict[str, Any]) -> None:
    assert [epoch for epoch, _ in content["curves"]["Loss"]["train"]] == list(range(1, 41))
    assert len(content["curves"]["Top-1 accuracy"]["best expert"]) == 40
    assert set(content["curves"]["Accuracy by shot group"]) == {"many", "medium", "few"}


def test_class_table_has_names_and_numbers(content: dict[str, Any], run: Path) -> None:
    classes, samples = content["classes"], samples_of(run)
    assert classes["name"] == NAMES
    assert classes["train"][0] == 1000
    for index in range(10):
        own = samples.prediction[-1][samples.label == index] == index
        assert classes["recall"][index] == pytest.approx(own.mean(), abs=1e-6)


def test_class_table_has_no_number_where_there_are_no_images(run: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(run, tmp_path / "run")
    (folder,) = (copy / "evaluation").iterdir()
    table = folder / "per_class_ensemble.csv"
    lines = table.read_text().splitlines()
    table.write_text("\n".join([*lines[:-1], "9,x,few,5,0,0,,"]))
    assert describe_run(read_run(copy), images=False)["classes"]["recall"][9] is None


def test_sparse_confusion_holds_every_prediction(content: dict[str, Any], run: Path) -> None:
    samples, cells = samples_of(run), content["confusion"]
    dense = np.zeros((10, 10), int)
    for true, predicted in zip(samples.label, samples.prediction[-1], strict=True):
        dense[true, predicted] += 1
    made = np.zeros((10, 10), int)
    made[cells["true"], cells["predicted"]] = cells["count"]
    assert np.array_equal(made, dense)
    assert min(cells["count"]) > 0


def test_confused_pairs_are_the_largest_mistakes(content: dict[str, Any]) -> None:
    cells, pairs = content["confusion"], content["pairs"]
    wrong = [c for t, p, c in zip(cells["true"], cells["predicted"], cells["count"], strict=True) if t != p]
    assert [count for _, _, count in pairs] == [count for count in sorted(wrong, reverse=True)[:10] if count > 1]
    assert all(true != predicted for true, predicted, _ in pairs)


def test_reliability_is_that_of_a_plain_loop(content: dict[str, Any], run: Path) -> None:
    samples = samples_of(run)
    bins: list[list[tuple[bool, float]]] = [[] for _ in range(15)]
    for true, predicted, sure in zip(samples.label, samples.prediction[-1], samples.confidence[-1], strict=True):
        bins[int(np.ceil(15 * float(sure))) - 1].append((true == predicted, float(sure)))
    error = sum(abs(sum(right for right, _ in b) - sum(sure for _, sure in b)) for b in bins) / len(samples.label)
    assert content["reliability"]["error"] == pytest.approx(error)
    assert [entry["samples"] for entry in content["reliability"]["bins"]] == [len(b) for b in bins]


def test_reliability_has_the_bins_of_the_calibration_error(run: Path) -> None:
    """A confidence on a boundary, rounded to float32, is in the lower bin."""
    samples = samples_of(run)
    confidence = np.resize(np.array([0.2, 0.4, 0.6, 0.8], dtype=np.float32), samples.confidence.shape)
    found: Any = reliability(replace(read_run(run), samples=samples._replace(confidence=confidence)))
    assert [index for index, entry in enumerate(found["bins"]) if entry["samples"]] == [2, 5, 8, 11]


def test_experts_agree_as_in_a_plain_loop(content: dict[str, Any], run: Path) -> None:
    samples, experts = samples_of(run), content["experts"]
    first, second, third = samples.prediction[:3]
    assert experts["agreement"][0][1] == pytest.approx(np.mean([a == b for a, b in zip(first, second, strict=True)]))
    assert experts["agreement"][2][2] == 1
    (whole, *groups) = experts["rows"]
    right = [[p == t for p in (a, b, c)] for a, b, c, t in zip(first, second, third, samples.label, strict=True)]
    assert whole["any"] == pytest.approx(np.mean([any(row) for row in right]))
    assert whole["every"] == pytest.approx(np.mean([all(row) for row in right]))
    assert sum(row["samples"] for row in groups) == whole["samples"] == len(samples.label)


def test_pairs_of_one_image_are_omitted(run: Path) -> None:
    confusion = np.diag([5, 5, 5])
    confusion[0, 1], confusion[0, 2], confusion[1, 2] = 1, 3, 2
    content = describe_run(replace(read_run(run), confusion=confusion), images=False)
    assert content["pairs"] == [[0, 2, 3], [1, 2, 2]]


def test_network_of_one_expert_has_no_section_on_experts(run: Path) -> None:
    samples = samples_of(run)
    one = samples._replace(prediction=samples.prediction[-2:])
    assert describe_run(replace(read_run(run), samples=one), images=False)["experts"] is None


def test_worst_mistakes_are_the_most_confident(content: dict[str, Any], run: Path) -> None:
    samples, mistakes = samples_of(run), content["mistakes"]
    wrong = samples.prediction[-1] != samples.label
    assert mistakes["wrong"] == wrong.sum()
    confidences = [item["confidence"] for item in mistakes["items"]]
    assert confidences == pytest.approx(sorted(samples.confidence[-1][wrong], reverse=True)[: len(confidences)])
    assert all(item["true"] != item["predicted"] and "image" not in item for item in mistakes["items"])


def test_other_images_than_those_evaluated_give_no_thumbnails(run: Path) -> None:
    mistakes = describe_run(read_run(run))["mistakes"]
    assert mistakes["note"] == "No thumbnails: the validation images are not those of the evaluation"


def test_config_lists_what_differs_from_the_defaults(content: dict[str, Any]) -> None:
    assert content["config"]["NAME"] == "made_up"
    assert "TRAIN.RESUME" not in content["config"]
    assert content["environment"]["versions: torch"] == "2.14"
    assert "commit" not in content["environment"]


def test_missing_files_are_named_in_one_sentence(run: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(run, tmp_path / "run")
    shutil.rmtree(copy / "evaluation")
    for name in ("results.json", "metrics.jsonl", "environment.json"):
        (copy / name).unlink()
    (copy / "config.yaml").write_text("NO_SUCH_KEY: 1\n")
    content = describe_run(read_run(copy))
    sections = ("curves", "classes", "confusion", "pairs", "reliability", "experts", "mistakes", "config")
    for name in (*sections, "environment"):
        (sentence,) = content[name].values()
        assert sentence.endswith(".")
    assert f"longtail valid {copy}" in content["classes"]["missing"]
    assert not content["finished"]
    json.dumps(content)


@pytest.mark.parametrize("name", ["samples.npz", "confusion_ensemble.npz", "per_class_ensemble.csv", "results.json"])
@pytest.mark.parametrize("cut", [False, True])
def test_damaged_files_count_as_missing(run: Path, tmp_path: Path, name: str, cut: bool) -> None:
    copy = shutil.copytree(run, tmp_path / "run")
    (folder,) = (copy / "evaluation").iterdir()
    content_before = (folder / name).read_bytes()
    (folder / name).write_bytes(content_before[: len(content_before) // 2] if cut else b"\x00\xff,")
    content = describe_run(read_run(copy), images=False)
    json.dumps(content)
    if name.endswith("npz"):
        assert "missing" in content["mistakes" if name == "samples.npz" else "confusion"]


def test_evaluation_without_confusion_matrix_is_reported(run: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(run, tmp_path / "run")
    (folder,) = (copy / "evaluation").iterdir()
    (folder / "confusion_ensemble.npz").unlink()  # as with more than 20,000 classes
    content = describe_run(read_run(copy), images=False)
    assert [entry["of"] for entry in content["metrics"]][-1] == "evaluation"
    assert "missing" not in content["classes"] and "missing" not in content["mistakes"]
    for name in ("confusion", "pairs"):
        assert "no confusion matrix" in content[name]["missing"]


def test_folder_that_is_not_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not a run directory"):
        read_run(tmp_path)
