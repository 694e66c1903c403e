"""Trainings with released code: its log, and a small stand-in of it that trains without a GPU."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from longtail.errors import UserError
from tools.released_training import changed_source
from tools.results_page import Record, read_published, read_records, released_record, results_page, top_table
from tools.run_settings import stage_settings

ROOT = Path(__file__).parent.parent.parent
LOG = """
2026-11-26 ---Epoch:  9/200   Avg_Loss:1.526   Epoch_Accuracy:50.89%   Epoch_Time: 0.75min---
2026-11-26 ---Epoch: 10/200   Avg_Loss:1.526   Epoch_Accuracy:50.89%   Epoch_Time: 9.00min---
2026-11-26 ------- Valid: Epoch: 10  Valid_Loss:2.110   Valid_Acc:39.32%-------
2026-11-26 ---Epoch: 10/200   Avg_Loss:1.526   Epoch_Accuracy:50.89%   Epoch_Time: 0.75min---
2026-11-26 ------- Valid: Epoch: 10  Valid_Loss:2.110   Valid_Acc:40.00%-------
2026-11-26 ---Epoch:199/200   Avg_Loss:1.526   Epoch_Accuracy:50.89%   Epoch_Time: 0.50min---
2026-11-26 ---Epoch:200/200   Avg_Loss:1.526   Epoch_Accuracy:50.89%   Epoch_Time: 1.00min---
2026-11-26 ------- Valid: Epoch:200  Valid_Loss:2.110   Valid_Acc:39.50%-------
"""
FACTS = {
    "config": "cifar10_im100_json,ce",
    "seed": 42,
    "train_images": 12406,
    "images": "JPEG",
    "precision": "off",
    "code": "BagofTricks-LT ce7859a",
}
TRAIN = """
import random, sys
from pathlib import Path
import click, torch
from net.network import Network

if __name__ == "__main__":
    random.seed(42)
    model = Network().cuda()
    images = torch.rand(1, 3, 4, 4).cuda().to(torch.device("cuda"))
    features = model(images, feature_flag=True)
    print("seeded", random.random(), features.dtype, features.device.type, click.confirm("continue?"))
    print("arguments", *sys.argv[1:])
    settings = dict(zip(sys.argv[1::2], sys.argv[2::2]))
    torch.save({"accuracy": __import__("numpy").float64(1)}, "a.pth")
    print("loaded", torch.load("a.pth", map_location="cuda"))
    logs = Path(settings["OUTPUT_DIR"]) / settings["NAME"] / "logs"
    logs.mkdir(parents=True)
    (logs / "CIFAR_res32_cifar_GAP_2026-01-31-12-00.log").write_text(LOG)
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
    train = TRAIN.replace("LOG)", f"{LOG!r})")
    for name, text in (("main/train.py", train), ("lib/net/network.py", NETWORK)):
        (tmp_path / "release" / name).parent.mkdir(parents=True)
        (tmp_path / "release" / name).write_text(text)
    data = tmp_path / "dataset" / "cifar10_lt" / "cifar10_im100_train.json"
    data.parent.mkdir(parents=True)
    data.write_text(json.dumps({"annotations": [{"fpath": "a.png", "category_id": 0}] * 3, "num_classes": 10}))
    return tmp_path / "release"


def test_record_counts_epochs_that_were_trained_twice_once() -> None:
    record = released_record(LOG, FACTS)
    assert record.finished
    assert (record.epochs, record.reached, record.hours) == (200, 200, round(3 / 60, 3))
    assert record.last == {"top1": 0.395} and record.best == {"epoch": 10, "top1": 0.4}
    unfinished = released_record(LOG[: LOG.index("---Epoch:200")], FACTS)
    assert not unfinished.finished and (unfinished.reached, unfinished.last) == (199, {})


def test_log_without_an_epoch_is_refused() -> None:
    with pytest.raises(UserError, match="has not finished an epoch"):
        released_record("Train start", FACTS)


@pytest.mark.slow
def test_results_page_shows_the_released_code_in_a_line_of_its_own() -> None:
    published = read_published(ROOT / "docs" / "results.yaml")
    record = released_record(LOG, FACTS)
    ours = replace(record, code="", last={"top1": 0.6}, settings=stage_settings(record.config, ""))
    lines = results_page(published, [record, ours]).splitlines()
    first = lines.index(next(line for line in lines if line.startswith("| Cross-entropy |")))
    table = lines[first : first + 5]
    assert table[3] == "| | released code, JPEG | 60.50 (1) | | | |"
    assert table[4] == "| | here, JPEG | 40.00 (1) | | | |"
    assert any(line.startswith("| `cifar10_im100_json,ce`, BagofTricks-LT ce7859a | 42 | 200 |") for line in lines)
    last = top_table(published, [record, ours]).splitlines()[-1]
    assert last.endswith("after its last epoch: Cross-entropy on CIFAR-10-LT 100, JPEG: 60.50 (1).")


@pytest.mark.slow
@pytest.mark.parametrize(("options", "dtype"), [([], "float32"), (["--bf16"], "bfloat16")])
def test_release_trains_without_a_gpu_and_is_recorded(release: Path, options: list[str], dtype: str) -> None:
    pytest.importorskip("click")
    tool, folder = str(ROOT / "tools" / "released_code.py"), release.parent / "records"
    command = [sys.executable, tool, "release", "a/b.yaml", "cifar10_im100_json,ce", "--seed", "7", *options]
    command += ["--folder", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=release.parent)
    assert f"computed in torch.{dtype} True" in done.stdout
    assert "seeded 0.32383276483316237 torch.float32" in done.stdout  # random.seed(7)
    assert "arguments --cfg release/a/b.yaml --ar True" in done.stdout
    assert "DATASET.TRAIN_JSON dataset/cifar10_lt/cifar10_im100_train.json" in done.stdout
    (record,) = read_records(folder)
    assert isinstance(record, Record) and record.file == "cifar10_im100_json_ce-released-seed7.json"
    assert (record.seed, record.train_images, record.last) == (7, 3, {"top1": 0.395})
    assert (record.began, record.code) == ("2026-01-31-12-00", "release")
    assert record.environment["versions"]["torch"]
    assert record.precision == record.environment["precision"] == {"float32": "off", "bfloat16": "bf16"}[dtype]


def test_other_checkouts_are_refused(release: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nothing/train\.py: No such file .*; it should be that of BagofTricks-LT"):
        changed_source(tmp_path / "nothing" / "train.py", {})
    with pytest.raises(UserError, match=r"has no seed\(43\): it is not that of BagofTricks-LT"):
        changed_source(release / "main" / "train.py", {"seed(42)": "seed(1)", "seed(43)": "seed(1)"})
