"""The files that a run starts from."""

import hashlib
from pathlib import Path
from typing import Any

import pytest

from longtail.config import load_config
from longtail.errors import UserError
from longtail.runs.inputs import (
    ABSENT,
    check_input_files,
    condition_of,
    differing_inputs,
    input_keys,
    input_records,
    is_used,
    kind_of,
    record,
)

TEACHER = "TRAIN.COMBINER.DIVE.TEACHER_MODEL"


def test_input_keys_are_weights_and_generated_images() -> None:
    assert {"NETWORK.PRETRAINED_MODEL", "BACKBONE.PRETRAINED_MODEL", "RESUME_MODEL", TEACHER} <= set(input_keys())
    assert kind_of("NETWORK.PRETRAINED_MODEL") == "weights"
    assert kind_of("DATASET.CAM_DATA_JSON_SAVE_PATH") == "images"
    assert "DATASET.TRAIN_JSON" not in input_keys()


@pytest.mark.parametrize(
    ("settings", "key", "used"),
    [
        (["NETWORK.PRETRAINED_MODEL", "a.pth"], "NETWORK.PRETRAINED_MODEL", False),
        (["NETWORK.PRETRAINED_MODEL", "a.pth", "NETWORK.PRETRAINED", True], "NETWORK.PRETRAINED_MODEL", True),
        (["BACKBONE.PRETRAINED_MODEL", "a.pth"], "BACKBONE.PRETRAINED_MODEL", True),
        ([], "BACKBONE.PRETRAINED_MODEL", False),
        (["RESUME_MODEL", "a.pth", "RESUME_MODE", "state_dict"], "RESUME_MODEL", True),
        (["RESUME_MODEL", "a.pth"], "RESUME_MODEL", False),  # its whole state: not a start
        ([TEACHER, "a.pth"], TEACHER, False),
        ([TEACHER, "a.pth", "TRAIN.COMBINER.TYPE", "distillation"], TEACHER, True),
    ],
)
def test_is_used_depends_on_the_condition_of_the_key(settings: list[Any], key: str, used: bool) -> None:
    cfg = load_config(None, settings)
    assert is_used(cfg, key) is used
    assert (key in input_records(cfg)) is used


def test_condition_of() -> None:
    assert condition_of("NETWORK.PRETRAINED_MODEL") == "NETWORK.PRETRAINED True"
    assert condition_of("BACKBONE.PRETRAINED_MODEL") == "the key itself"
    assert condition_of(TEACHER) == "a TRAIN.COMBINER.TYPE that reads it"


def test_check_input_files_refuses_empty_keys_and_missing_files(tmp_path: Path) -> None:
    start = ["NETWORK.PRETRAINED", True, "NETWORK.PRETRAINED_MODEL"]
    with pytest.raises(UserError, match=r"^NETWORK.PRETRAINED_MODEL is empty; it must name the file"):
        check_input_files(load_config(None, [*start, ""]))
    with pytest.raises(UserError, match=r"^NETWORK.PRETRAINED_MODEL: file absent\.pth does not exist$"):
        check_input_files(load_config(None, [*start, "absent.pth"]))
    (tmp_path / "a.pth").write_bytes(b"")
    check_input_files(load_config(None, [*start, str(tmp_path / "a.pth")]))


def test_record_has_the_sha256(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    digest = hashlib.sha256(b"abc").hexdigest()
    assert record(tmp_path / "a") == {"file": str(tmp_path / "a"), "sha256": digest}
    assert record(tmp_path / "b")["sha256"] == ABSENT


def test_differing_inputs_compare_digests() -> None:
    one = {"RESUME_MODEL": {"file": "a", "sha256": "1"}}
    assert differing_inputs(one, {"RESUME_MODEL": {"file": "b", "sha256": "1"}}) == []
    assert differing_inputs(one, {"RESUME_MODEL": {"file": "a", "sha256": "2"}}) == ["RESUME_MODEL"]
    assert differing_inputs(one, {}) == ["RESUME_MODEL"] == differing_inputs({}, one)
    assert differing_inputs(None, {}) == differing_inputs({"TEST.OLD": {"sha256": "1"}}, {}) == []
    assert differing_inputs({**one, "TEST.MODEL_FILE": {"file": "c", "sha256": "3"}}, one) == []  # of an evaluation
