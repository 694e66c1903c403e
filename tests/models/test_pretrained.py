"""The weights that backbones start from."""

from pathlib import Path
from typing import Any

import pytest
import torch

from longtail.models import build_model, pretrained
from longtail.models.momentum import independent_experts
from longtail.models.pretrained import is_pretrained, pretrained_weights
from tests.helpers.training import CONTRASTIVE, tiny_config


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the names of the backbones whose weights have been downloaded; all of them are {"body.0.weight": ones}."""
    names: list[str] = []

    def download(name: str, tag: str) -> dict[str, torch.Tensor]:
        names.append(f"{name}.{tag}")
        return {"body.0.weight": torch.ones(8, 3, 4, 4)}

    monkeypatch.setattr(pretrained, "downloaded_weights", download)
    return names


def test_weights_are_read_once_per_backbone(asked: list[str], tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(1)}, tmp_path / "file.pth")
    file = ("BACKBONE.PRETRAINED_MODEL", str(tmp_path / "file.pth"))
    names = ("BACKBONE.MULTI_NETWORK_TYPE", ["tiny", "two_stages", "tiny"])
    cfg = tiny_config(tmp_path, *names, *file, "BACKBONE.PRETRAINED_TAG", "a")
    found = pretrained_weights(cfg)
    assert asked == ["tiny.a", "two_stages.a"] and is_pretrained(cfg)
    assert {name: [each.source for each in sources] for name, sources in found.items()} == {
        "tiny": ["tiny.a", file[1]],
        "two_stages": ["two_stages.a", file[1]],
    }
    assert pretrained_weights(tiny_config(tmp_path, *names)) == {"tiny": [], "two_stages": []}
    assert not is_pretrained(tiny_config(tmp_path, *names))


def test_independent_key_experts_start_from_downloaded_weights(asked: list[str], tmp_path: Path) -> None:
    cfg = tiny_config(tmp_path, "BACKBONE.PRETRAINED_TAG", "a", method=CONTRASTIVE)
    network: Any = build_model(cfg, 10)
    for expert in independent_experts(cfg, network):
        assert torch.equal(expert.backbone.state_dict()["body.0.weight"], torch.ones(8, 3, 4, 4))
    assert asked == ["tiny.a"]
