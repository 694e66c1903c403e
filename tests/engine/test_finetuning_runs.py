"""Fine-tuning of a small transformer of timm: linear probe, adapters, all layers."""

from pathlib import Path
from typing import Any

import pytest
import timm
import torch

from longtail.checkpoint_file import read_checkpoint
from longtail.config import load_config
from longtail.engine.interrupts import Interrupted
from longtail.errors import UserError
from longtail.models.backbones import downloaded_weights
from longtail.stages import evaluate as evaluate_stage
from longtail.stages.evaluate import validate
from tests.helpers.training import CPU, assert_same, read_json, stop_after, train, values

METHODS = ("finetune_linear", "finetune_adaptformer", "finetune_full")


@pytest.fixture
def weights(tmp_path: Path) -> str:
    """Return a file of untrained weights with the names of timm."""
    torch.manual_seed(5)
    torch.save(timm.create_model("test_vit", img_size=160).state_dict(), tmp_path / "vit.pth")
    return str(tmp_path / "vit.pth")


def config(method: str, weights: str, output: Path, *overrides: Any) -> Any:
    own = ["BACKBONE.TYPE", "timm/test_vit", "BACKBONE.PRETRAINED_MODEL", weights, "INPUT_SIZE", (32, 32)]
    run = ["OUTPUT_DIR", str(output), "TRAIN.MAX_EPOCH", 2, "TRAIN.BATCH_SIZE", 64, "TRAIN.TENSORBOARD.ENABLE", False]
    return load_config(f"digits_lt,{method}", [*own, *run, "TRAIN.AMP", "off", *overrides])


def final(run: Any) -> dict[str, torch.Tensor]:
    model: dict[str, torch.Tensor] = read_checkpoint(run.last)["model"]
    return model


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_fine_tuning_trains_the_named_parts_from_the_weights_of_the_file(
    method: str, weights: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cfg = config(method, weights, tmp_path / "runs")
    run = train(cfg)
    start = torch.load(weights)
    trained = {
        name
        for name, value in final(run).items()
        if name.startswith("experts.0.backbone.")
        and not torch.equal(value, start.get(name.removeprefix("experts.0.backbone."), torch.zeros(0)))
        and "pos_embed" not in name  # resampled
    }
    if method == "finetune_linear":
        assert not trained
    elif method == "finetune_adaptformer":
        assert trained and all(".adapter." in name for name in trained)
    else:
        assert any("blocks.0" in name for name in trained) and not any(".adapter." in name for name in trained)
    monkeypatch.setattr(evaluate_stage, "_write_details", lambda *args, **kwargs: None)
    found = read_json(validate(cfg, run.path, place=CPU) / "results.json")
    assert found["ensemble"] == read_json(run.results)["best"]["ensemble"]


@pytest.mark.slow
def test_head_starts_from_the_class_means(weights: str, tmp_path: Path) -> None:
    tiny = ("TRAIN.OPTIMIZER.BASE_LR", 1e-12, "TRAIN.OPTIMIZER.WEIGHT_DECAY", 0.0, "TRAIN.MAX_EPOCH", 1)
    means = final(train(config("finetune_linear", weights, tmp_path / "means", *tiny)))["experts.0.head.weight"]
    torch.testing.assert_close(means.norm(dim=1), torch.ones(10))
    other = config("finetune_linear", weights, tmp_path / "random", *tiny, "CLASSIFIER.START", "random")
    assert not torch.allclose(means, final(train(other))["experts.0.head.weight"], atol=0.01)


@pytest.mark.slow
def test_average_starts_from_the_class_means(weights: str, tmp_path: Path) -> None:
    tiny = ("TRAIN.OPTIMIZER.BASE_LR", 1e-12, "TRAIN.OPTIMIZER.WEIGHT_DECAY", 0.0, "TRAIN.MAX_EPOCH", 1)
    content = read_checkpoint(train(config("finetune_linear", weights, tmp_path, *tiny, "TRAIN.EMA.DECAY", 0.99)).last)
    name = "experts.0.head.weight"
    torch.testing.assert_close(content["average"][name], content["model"][name])


@pytest.mark.slow
@pytest.mark.parametrize("steps", [1, 5])
def test_fine_tuning_resumes_bit_by_bit(weights: str, tmp_path: Path, steps: int) -> None:
    whole = train(config("finetune_adaptformer", weights, tmp_path / "whole"))
    with pytest.MonkeyPatch.context() as patch:
        stop_after(steps, patch)
        with pytest.raises(Interrupted):
            train(config("finetune_adaptformer", weights, tmp_path / "stopped"))
    resumed = train(config("finetune_adaptformer", weights, tmp_path / "stopped"))
    for part, other in zip(values(whole), values(resumed), strict=True):
        for side in (part, other):
            if isinstance(side, dict):
                side.pop("config", None)
        assert_same(part, other)


@pytest.mark.slow
def test_weights_of_a_tag_are_loaded_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = timm.create_model
    asked: list[tuple[str, bool]] = []

    def create(name: str, pretrained: bool = False, **options: Any) -> Any:
        asked.append((name, pretrained))
        return original(name.partition(".")[0], pretrained=False, **options)

    monkeypatch.setattr(timm, "create_model", create)
    tag = ("BACKBONE.PRETRAINED_TAG", "r160_in1k", "TRAIN.MAX_EPOCH", 1)
    run = train(config("finetune_linear", "", tmp_path, *tag))
    assert ("test_vit.r160_in1k", True) in asked
    assert "timm/test_vit.r160_in1k" in repr(read_json(run.results)["weights"])


def test_download_that_fails_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def create(name: str, **options: Any) -> Any:
        raise OSError("no network\nand more lines")

    monkeypatch.setattr(timm, "create_model", create)
    with pytest.raises(UserError, match="could not be downloaded: no network; BACKBONE") as error:
        downloaded_weights("timm/test_vit", "default")
    assert "\n" not in str(error.value)
