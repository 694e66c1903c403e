"""Copies of nested tensors on the host, made as if every tensor were on a GPU."""

from collections import OrderedDict

import pytest
import torch
from torch import Tensor, nn

from longtail import host_copies
from longtail.checkpoint_file import checksum
from longtail.host_copies import PACKED_BYTES, on_host


def test_tensors_of_the_host_are_not_copied() -> None:
    value = torch.ones(2, requires_grad=True)
    assert on_host({"a": [value]})["a"][0].data_ptr() == value.data_ptr()


@pytest.fixture
def away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_copies, "is_away", lambda tensor: True)


@pytest.mark.usefixtures("away")
def test_copies_are_equal_and_have_memory_of_their_own() -> None:
    content = {
        "model": nn.BatchNorm2d(3).state_dict(),  # float32 and int64
        "half": torch.randn(2, 3).bfloat16(),
        "convolution": torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last),
        "transposed": torch.randn(2, 3).t(),
        "large": torch.randn(PACKED_BYTES // 4 + 1),
        "empty": torch.zeros(0, 2),
        "plain": (1, [None, "text", torch.tensor(2.5)]),
    }
    copied = on_host(content)
    assert checksum(copied) == checksum(content)
    assert isinstance(copied["model"], OrderedDict)
    assert copied["model"]._metadata == content["model"]._metadata  # type: ignore[attr-defined]
    strides = [(value.stride(), content[name].stride()) for name, value in copied.items() if isinstance(value, Tensor)]  # type: ignore[attr-defined]
    assert all(copy == original for copy, original in strides)
    small = [value for value in copied["model"].values() if value.dtype == torch.float32]
    assert all(value.untyped_storage().nbytes() == value.nbytes for value in small)
    content["half"].zero_()  # type: ignore[attr-defined]
    assert copied["half"].any()


@pytest.mark.usefixtures("away")
def test_a_tensor_that_occurs_twice_stays_one() -> None:
    value = torch.ones(3)
    copied = on_host([value, {"again": value}])
    assert copied[0] is copied[1]["again"]


@pytest.mark.usefixtures("away")
def test_tensors_of_a_type_are_packed_into_one_transfer(monkeypatch: pytest.MonkeyPatch) -> None:
    transfers: list[Tensor] = []
    original = Tensor.cpu

    def noted(tensor: Tensor) -> Tensor:
        transfers.append(tensor)
        return original(tensor)

    monkeypatch.setattr(Tensor, "cpu", noted)
    on_host([torch.ones(3), torch.ones(2, 2), torch.tensor(1), [torch.tensor(2)]])
    assert [transfer.numel() for transfer in transfers] == [7, 2]
