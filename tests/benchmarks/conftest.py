"""Makes the benchmarks importable, and registers a small backbone for them."""

import gc
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent.parent / "benchmarks"))
sys.path.insert(1, str(Path(__file__).parent.parent.parent / "benchmarks" / "short_runs"))

from longtail.models import BACKBONES
from longtail.models.backbones.resnet_cifar import CifarResNet

BACKBONES.register("res8_measured")(lambda options: CifarResNet(blocks=1))


@pytest.fixture(autouse=True, scope="module")
def short_garbage_collection() -> Iterator[None]:
    """Exclude the modules of other tests from garbage collection, which measurements of memory call often."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()
