"""CAM-based sampling with a cascade, and what refuses one."""

from pathlib import Path
from typing import Any

import pytest
import torch

from longtail.data.images.reading import read_image
from longtail.errors import UserError
from longtail.models import Expert, build_model
from longtail.models.activation_maps import activation_maps
from longtail.stages import generate as generate_stage
from tests.helpers.training import CASCADE, CPU, TinyConfig, read_json, train


@pytest.mark.slow
def test_generate_uses_the_main_head_of_a_cascade(
    tiny_cfg: TinyConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    network = build_model(tiny_cfg(method=CASCADE), 10)
    torch.save({"model": network.state_dict()}, tmp_path / "net.pth")
    cfg = tiny_cfg(
        *("DATASET.GENERATE_CAM_BASED_DATASET", True, "DATASET.CAM_DATA_SAVE_PATH", str(tmp_path / "images")),
        *("DATASET.CAM_DATA_JSON_SAVE_PATH", str(tmp_path / "list.json"), "DATASET.IMBALANCECIFAR.RATIO", 0.5),
        *("NETWORK.PRETRAINED", True, "NETWORK.PRETRAINED_MODEL", str(tmp_path / "net.pth")),
        method=CASCADE,
    )
    used: list[Expert] = []

    def maps(expert: Expert, images: torch.Tensor, *, labels: torch.Tensor) -> torch.Tensor:
        used.append(expert)
        return activation_maps(expert, images, labels=labels)

    monkeypatch.setattr(generate_stage, "activation_maps", maps)
    listed = read_json(generate_stage.generate(cfg, place=CPU))["annotations"]
    assert read_image(str(tmp_path / listed[0]["fpath"])).shape == (3, 32, 32)
    own: Any
    saved: Any
    for own, saved in ((used[0].backbone, network.trunk), (used[0].head, network.head)):
        assert all(torch.equal(value, own.state_dict()[name]) for name, value in saved.state_dict().items())


def test_manifold_mixup_of_a_cascade_is_refused_before_training(tiny_cfg: TinyConfig) -> None:
    cfg = tiny_cfg("TRAIN.COMBINER.TYPE", "manifold_mixup", method=CASCADE)
    with pytest.raises(UserError, match="manifold_mixup needs 'experts'"):
        train(cfg)
    assert not Path(cfg.OUTPUT_DIR).exists()


def test_contrastive_learning_of_a_cascade_is_refused_before_training(tiny_cfg: TinyConfig) -> None:
    keys = ("TRAIN.COMBINER.TYPE", "contrastive", "NETWORK.MOCO", True, "DATASET.VIEWS", ["crop", "crop"])
    with pytest.raises(UserError, match=r"NETWORK\.TYPE cascade has no projection heads"):
        train(tiny_cfg(*keys, "LOSS.CON_RATIO", 1.0, method=CASCADE))
