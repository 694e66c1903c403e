"""Trainings with a released code, here a small stand-in of it."""

import subprocess
import sys
from pathlib import Path

import pytest
from released_code import read_program

from longtail.errors import UserError

SCRIPT = Path(__file__).parent.parent.parent / "benchmarks" / "short_runs" / "released_code.py"
TRAIN = """
import random, sys
import click, torch
from net.network import Network

if __name__ == "__main__":
    random.seed(42)
    model = Network().cuda()
    images = torch.rand(1, 3, 4, 4).cuda().to(torch.device("cuda"))
    features = model(images, feature_flag=True)
    print("seeded", random.random(), features.dtype, features.device.type, click.confirm("continue?"))
    print("settings", *sys.argv[1:])
"""
NETWORK = """
import torch

class Network(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.convolution = torch.nn.Conv2d(3, 2, 1)

    def forward(self, images, feature_flag):
        features = self.convolution(images)
        print("computed in", features.dtype, feature_flag)
        return features
"""


@pytest.fixture
def release(tmp_path: Path) -> Path:
    for name, text in (("main/train.py", TRAIN), ("lib/net/network.py", NETWORK)):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize(("options", "dtype"), [([], "float32"), (["--bf16"], "bfloat16")])
def test_release_trains_without_a_gpu_in_the_chosen_precision(release: Path, options: list[str], dtype: str) -> None:
    pytest.importorskip("click")
    command = [sys.executable, str(SCRIPT), str(release), "a/b.yaml", "t.json", "v.json", "--seed", "7", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=release)
    assert f"computed in torch.{dtype} True" in done.stdout
    assert "seeded 0.32383276483316237 torch.float32" in done.stdout and "True\n" in done.stdout  # random.seed(7)
    assert "--cfg a/b.yaml --ar True" in done.stdout
    assert f"DATASET.TRAIN_JSON {release / 't.json'}" in done.stdout and "NAME b-seed7" in done.stdout


def test_other_checkouts_are_refused(release: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"is not a checkout of the release: main/train\.py: No such file"):
        read_program(tmp_path / "nothing", seed=1)
    (release / "main" / "train.py").write_text("print()")
    with pytest.raises(UserError, match=r"has no seed\(42\): it is not that of BagofTricks-LT"):
        read_program(release, seed=1)
