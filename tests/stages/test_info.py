"""The facts of a config before training."""

import logging
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from longtail.config import changed
from longtail.data import Loaders
from longtail.engine import timing
from longtail.errors import UserError
from longtail.stages.info import count_multiply_adds, info
from tests.helpers.training import CONTRASTIVE, CPU, NCL, TinyConfig


def test_count_multiply_adds_of_a_convolution_and_a_linear_layer() -> None:
    network = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.Flatten(), nn.Linear(8 * 16, 5))
    assert count_multiply_adds(network, torch.zeros(1, 3, 4, 4)) == 16 * 8 * 27 + 8 * 16 * 5
    assert network.training


@pytest.mark.slow
@pytest.mark.parametrize("method", [NCL, CONTRASTIVE], ids=["ncl", "contrastive"])
def test_info_of_a_config(tiny_cfg: TinyConfig, tmp_path: Path, method: list[Any]) -> None:
    cfg = tiny_cfg("TRAIN.BATCH_SIZE", 16, method=method)
    text = "\n".join(info(cfg, "x.yaml", place=CPU))
    assert re.search(r"LOSS.HCM_N +3  \(default 5\)", text)
    assert "DROPOUT" in text and "LOSS.FocalLoss.GAMMA" not in text
    assert "276 training images in 10 classes" in text
    assert re.search(r"[\d,]+ parameters, [\d.]+ million multiply-adds per image of 32x32", text)
    assert "3 epochs of 17 steps of 16 images, 3 evaluations of 4 batches" in text
    assert "(mean of 64 after 4 of warm-up) on cpu" in text
    assert re.search(r"about \S+ h \(0:\d\d:\d\d\) in total", text)
    assert not (tmp_path / "output").exists()


def test_info_time_is_the_sum_of_steps_and_evaluations(tiny_cfg: TinyConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    times = timing.StepTimes(training_step=10.0, validation_batch=5.0, steps=8)
    monkeypatch.setattr("longtail.stages.info.time_steps", lambda trainer: times)
    text = "\n".join(info(tiny_cfg(), "x.yaml", place=CPU))
    assert "3 epochs of 4 steps of 64 images, 3 evaluations of 4 batches" in text
    assert "(0:03:00) in total, 33% of it evaluation" in text


def test_info_closes_loaders_and_run(tiny_cfg: TinyConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[type] = []
    monkeypatch.setattr(Loaders, "close", lambda self: closed.append(Loaders))
    monkeypatch.setattr("longtail.stages.info.time_steps", lambda trainer: timing.StepTimes(1.0, 1.0, 8))
    before = list(logging.getLogger("longtail").handlers)
    info(tiny_cfg(), "x.yaml", place=CPU)
    assert closed == [Loaders]
    assert logging.getLogger("longtail").handlers == before


def test_info_refuses_what_a_training_refuses(tiny_cfg: TinyConfig) -> None:
    with pytest.raises(UserError, match="fewer than one step"):
        info(changed(tiny_cfg(), "TRAIN.BATCH_SIZE", 300), "x.yaml", place=CPU)
