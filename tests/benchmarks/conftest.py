"""Makes the benchmarks importable, and registers a small backbone for them."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent.parent / "benchmarks"))
sys.path.insert(1, str(Path(__file__).parent.parent.parent / "benchmarks" / "short_runs"))

from longtail.models import BACKBONES
from longtail.models.backbones.resnet_cifar import CifarResNet

BACKBONES.register("res8_measured")(lambda options: CifarResNet(blocks=1))
