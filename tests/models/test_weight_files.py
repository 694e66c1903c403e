"""Reading checkpoints and weights."""

import collections
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from longtail.checkpoint_file import read_checkpoint
from longtail.errors import UserError
from longtail.models import read_weights, weights_in
from longtail.models.weight_files import ENTRIES

WEIGHTS = collections.OrderedDict({"module.conv1.weight": torch.arange(4.0), "module.bn1.num": torch.tensor(3)})


def released(kind: Callable[[float], Any] = np.float64) -> dict[str, Any]:
    """Return what the releases save: weights, the state of training, and scores as NumPy scalars."""
    return {
        "state_dict": WEIGHTS,
        "epoch": 3,
        "best_result": kind(0.5),
        "best_epoch": np.int64(2),
        "scheduler": {"base_lrs": [0.1], "milestones": [160]},
        "optimizer": {"state": {}, "param_groups": [{"lr": 0.1, "params": [0]}]},
    }


def refusal(path: Path) -> str:
    with pytest.raises(UserError) as error:
        read_weights(path)
    message = str(error.value)
    assert str(path) in message
    assert "\n" not in message
    return message


@pytest.mark.parametrize("kind", [np.float64, np.float32, np.int64, np.int32])
def test_read_checkpoint_with_numpy_scalars(tmp_path: Path, kind: Callable[[float], Any]) -> None:
    torch.save(released(kind), tmp_path / "a.pth")
    assert read_weights(tmp_path / "a.pth").keys() == WEIGHTS.keys()
    assert read_checkpoint(tmp_path / "a.pth")["best_result"] == kind(0.5)


def test_read_checkpoint_written_with_numpy_1(tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    torch.save(released(), path, _use_new_zipfile_serialization=False)  # the format of the releases' torch
    content = path.read_bytes()
    path.write_bytes(content.replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))
    assert b"cnumpy.core.multiarray\nscalar\n" in path.read_bytes()
    assert read_checkpoint(path)["best_result"] == 0.5
    assert torch.equal(read_weights(path)["module.conv1.weight"], torch.arange(4.0))


@pytest.mark.parametrize("content", [WEIGHTS, {"state_dict": WEIGHTS}, {"model": WEIGHTS, "epoch": 1}])
def test_read_weights_finds_them(tmp_path: Path, content: dict[str, Any]) -> None:
    torch.save(content, tmp_path / "a.pth")
    assert read_weights(tmp_path / "a.pth").keys() == WEIGHTS.keys()
    assert weights_in(content, "a.pth").keys() == WEIGHTS.keys()


@pytest.mark.parametrize("entry", ENTRIES)
def test_weights_in_each_entry_that_trainers_use(entry: str) -> None:
    assert weights_in({"epoch": 1, entry: WEIGHTS, "args": {"lr": 0.1}}, "a.pth").keys() == WEIGHTS.keys()


def test_weights_in_several_entries_takes_the_first_and_logs_the_others(caplog: pytest.LogCaptureFixture) -> None:
    ema = {"module.conv1.weight": torch.zeros(4)}
    with caplog.at_level("INFO"):
        weights = weights_in({"model_ema": ema, "state_dict": WEIGHTS, "epoch": 1}, "a.pth")
    assert torch.equal(weights["module.conv1.weight"], torch.arange(4.0))
    assert caplog.messages == ["weights of a.pth: entry state_dict is used; also there: model_ema"]


def test_weights_in_unknown_entries_are_named() -> None:
    with pytest.raises(UserError, match=r"a\.pth holds no weights; its entries are: params, epoch; expected one of "):
        weights_in({"params": WEIGHTS, "epoch": 1}, "a.pth")


def test_read_weights_skips_what_is_not_a_tensor(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(1), "epoch": 3}, tmp_path / "a.pth")
    assert list(read_weights(tmp_path / "a.pth")) == ["a"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"epoch": 3}, "holds no weights"),
        ({"state_dict": {}}, "holds no weights"),
        ([torch.zeros(1)], "holds a list, not a dictionary of weights"),
        (torch.zeros(1), "holds a Tensor, not a dictionary of weights"),
    ],
)
def test_read_weights_refuses_files_without_weights(tmp_path: Path, content: Any, message: str) -> None:
    torch.save(content, tmp_path / "a.pth")
    assert message in refusal(tmp_path / "a.pth")


DAMAGES: list[Callable[[bytes], bytes]] = [
    lambda content: content[: len(content) // 2],
    lambda content: b"",
    lambda content: b"text",
    lambda content: content[50:],
]


@pytest.mark.parametrize("damage", DAMAGES, ids=["half", "empty", "text", "headless"])
@pytest.mark.parametrize("zipped", [True, False])
def test_read_weights_refuses_damaged_files(tmp_path: Path, damage: Callable[[bytes], bytes], zipped: bool) -> None:
    path = tmp_path / "a.pth"
    torch.save(released(), path, _use_new_zipfile_serialization=zipped)
    path.write_bytes(damage(path.read_bytes()))
    # Half of a file of the old format ends inside the name of a type.
    assert re.search(r" is damaged| or it is damaged$|holds an object of numpy._core.m, ", refusal(path))


def test_read_weights_refuses_missing_files_and_folders(tmp_path: Path) -> None:
    assert refusal(tmp_path / "absent.pth").endswith("absent.pth does not exist")
    assert "cannot be read: " in refusal(tmp_path)


class Trap:
    """Creates a folder when it is unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("zipped", [True, False])
def test_read_weights_runs_no_code_of_the_file(tmp_path: Path, zipped: bool) -> None:
    path, folder = tmp_path / "a.pth", tmp_path / "made"
    torch.save({"state_dict": WEIGHTS, "trap": Trap(str(folder))}, path, _use_new_zipfile_serialization=zipped)
    assert "holds an object of posix.mkdir, which could run code and is not read" in refusal(path)
    assert not folder.exists()
    torch.load(path, weights_only=False)
    assert folder.exists()  # loading without protection runs it
