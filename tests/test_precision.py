"""Computing in float32 under mixed precision."""

import pytest
import torch

from longtail.precision import in_float32, without_autocast


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (torch.bfloat16, torch.float32),
        (torch.float16, torch.float32),
        (torch.float32, torch.float32),
        (torch.float64, torch.float64),
    ],
)
def test_in_float32_never_narrows(given: torch.dtype, wanted: torch.dtype) -> None:
    assert in_float32(torch.zeros(2, dtype=given)).dtype == wanted


def test_without_autocast_computes_in_the_dtype_of_the_tensors() -> None:
    ones = torch.ones(2, 2)
    with torch.autocast("cpu", torch.bfloat16):
        assert (ones @ ones).dtype == torch.bfloat16
        with without_autocast(ones.device):
            assert (ones @ ones).dtype == torch.float32


def test_without_autocast_on_a_device_that_has_none() -> None:
    with without_autocast(torch.device("meta")):
        pass
