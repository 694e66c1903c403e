import collections

import numpy as np
import pytest
import torch

from longtail.errors import UserError
from longtail.models import read_checkpoint, read_weights

WEIGHTS = collections.OrderedDict({"module.conv1.weight": torch.arange(4.0), "module.bn1.num": torch.tensor(3)})


def released(kind=np.float64):
    """What the releases save: weights, the state of training, and scores as NumPy scalars."""
    return {
        "state_dict": WEIGHTS,
        "epoch": 3,
        "best_result": kind(0.5),
        "best_epoch": np.int64(2),
        "scheduler": {"base_lrs": [0.1], "milestones": [160]},
        "optimizer": {"state": {}, "param_groups": [{"lr": 0.1, "params": [0]}]},
    }


def refusal(read, path):
    with pytest.raises(UserError) as error:
        read(path)
    message = str(error.value)
    assert str(path) in message
    assert "\n" not in message
    return message


@pytest.mark.parametrize("kind", [np.float64, np.float32, np.int64, np.int32])
def test_released_checkpoints_with_numpy_scalars_are_read(tmp_path, kind):
    torch.save(released(kind), tmp_path / "a.pth")
    assert read_weights(tmp_path / "a.pth").keys() == WEIGHTS.keys()
    assert read_checkpoint(tmp_path / "a.pth")["best_result"] == kind(0.5)


def test_checkpoints_written_with_numpy_1_are_read(tmp_path):
    path = tmp_path / "a.pth"
    torch.save(released(), path, _use_new_zipfile_serialization=False)  # the format of the releases' torch
    content = path.read_bytes()
    path.write_bytes(content.replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))
    assert b"cnumpy.core.multiarray\nscalar\n" in path.read_bytes()
    assert read_checkpoint(path)["best_result"] == 0.5
    assert torch.equal(read_weights(path)["module.conv1.weight"], torch.arange(4.0))


@pytest.mark.parametrize("content", [WEIGHTS, {"state_dict": WEIGHTS}, {"model": WEIGHTS, "epoch": 1}])
def test_weights_are_found_where_they_are(tmp_path, content):
    torch.save(content, tmp_path / "a.pth")
    assert read_weights(tmp_path / "a.pth").keys() == WEIGHTS.keys()


def test_what_is_no_tensor_is_left_out(tmp_path):
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
def test_files_without_weights_are_refused(tmp_path, content, message):
    torch.save(content, tmp_path / "a.pth")
    assert message in refusal(read_weights, tmp_path / "a.pth")


@pytest.mark.parametrize("damage", [lambda b: b[: len(b) // 2], lambda b: b"", lambda b: b"text", lambda b: b[50:]])
@pytest.mark.parametrize("zipped", [True, False])
def test_damaged_files_are_refused(tmp_path, damage, zipped):
    path = tmp_path / "a.pth"
    torch.save(released(), path, _use_new_zipfile_serialization=zipped)
    path.write_bytes(damage(path.read_bytes()))
    assert "cannot be read: " in refusal(read_weights, path)


def test_missing_files_and_folders_are_refused(tmp_path):
    assert refusal(read_weights, tmp_path / "absent.pth").endswith("absent.pth does not exist")
    assert "cannot be read: " in refusal(read_weights, tmp_path)


class Trap:
    """Makes a folder when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        import os

        return os.mkdir, (self.path,)


@pytest.mark.parametrize("zipped", [True, False])
def test_no_code_in_a_file_is_run(tmp_path, zipped):
    path, sprung = tmp_path / "a.pth", tmp_path / "sprung"
    torch.save({"state_dict": WEIGHTS, "trap": Trap(str(sprung))}, path, _use_new_zipfile_serialization=zipped)
    assert "cannot be read: " in refusal(read_weights, path)
    assert not sprung.exists()
    torch.load(path, weights_only=False)
    assert sprung.exists()  # the trap was real
