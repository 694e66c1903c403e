"""The method subclass_contrastive: steps, clusterings, the probe, figures, and what is refused."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from longtail.config import load_config
from longtail.errors import UserError
from longtail.losses.contrastive import (
    k_positive_contrastive,
    subclass_contrastive,
    subclass_contrastive_queue,
    supervised_contrastive,
)
from longtail.methods import METHODS, SubclassContrastive
from longtail.methods.contrasts import AgainstQueue
from longtail.methods.subclass_contrastive import ClusteringPlan
from longtail.models import Network
from tests.helpers.subclass_training import IN_BATCH, QUEUE, SUBCLASS, Images, build, step

TIMES = ["TRAIN.COMBINER.SUBCLASS.BASE_TEMPERATURE", 0.07, "TRAIN.COMBINER.SUBCLASS.TEMPERATURE_RULE", "paper"]


def project(network: Network, images: Tensor) -> Tensor:
    """Return projections of unit length, (B, P)."""
    output = network(images, project=True)
    assert output.projections is not None
    return F.normalize(output.projections[0], dim=1)


def clustered(kind: list[Any], *overrides: Any) -> tuple[SubclassContrastive, Network, Images]:
    """Return a method after its first clustering."""
    data = Images()
    method, network = build(kind, *overrides, data=data)
    method.set_epoch(2)
    method.on_epoch_start(2, data)
    return method, network, data


def queue_of(method: SubclassContrastive) -> AgainstQueue:
    assert isinstance(method.contrast, AgainstQueue)
    return method.contrast


@pytest.mark.parametrize(
    ("warm", "every", "expected"), [(0, 1, [1, 2, 3, 4, 5, 6]), (0, 3, [1, 4]), (2, 2, [3, 5]), (6, 1, []), (3, 9, [4])]
)
def test_plan_clusters_after_the_warm_up_and_every_few_epochs(warm: int, every: int, expected: list[int]) -> None:
    plan = ClusteringPlan(warm, every)
    assert [epoch for epoch in range(1, 7) if plan.clusters(epoch)] == expected


@pytest.mark.parametrize("overrides", [[], TIMES])
def test_warm_up_in_the_batch_is_supervised_contrast(overrides: list[Any]) -> None:
    data = Images()
    method, network = build(IN_BATCH, *overrides)
    method.set_epoch(1)
    batch = data.batch(0)
    found = method.training_step(batch)
    features = project(network, batch.images.flatten(0, 1)).view(2, 6, 5).transpose(0, 1)
    expected = supervised_contrastive(features, batch.labels, temperature=0.1)
    torch.testing.assert_close(found.parts["contrast"], expected.detach())
    assert found.logits.shape == (1, 12, 4)
    assert torch.equal(found.targets, batch.labels.repeat(2))


def test_step_in_the_batch_contrasts_subclasses() -> None:
    method, network, data = clustered(IN_BATCH, *TIMES)
    batch = data.batch(0)
    features = project(network, batch.images.flatten(0, 1)).view(2, 6, 5).transpose(0, 1)
    expected = subclass_contrastive(
        features,
        batch.labels,
        method.subclasses.ids[batch.indices],
        temperature=0.1,
        base_temperature=0.07,
        beta=0.25,
        class_temperatures=method.subclasses.temperatures,
    )
    torch.testing.assert_close(method.training_step(batch).parts["contrast"], expected.detach())
    assert not torch.equal(method.subclasses.temperatures, torch.full((4,), 0.1))


@pytest.mark.parametrize("kind", [IN_BATCH, QUEUE])
def test_one_denominator_leaves_out_the_class_temperatures(kind: list[Any]) -> None:
    one, *_ = clustered(kind, f"{SUBCLASS}.ONE_DENOMINATOR", True)
    both, _, data = clustered(kind)
    batch = data.batch(0)
    losses = []
    for method in (one, both):
        method.subclasses.temperatures.fill_(0.3)
        losses.append(method.training_step(batch).parts["contrast"])
    other, *_ = clustered(kind, f"{SUBCLASS}.ONE_DENOMINATOR", True)
    assert torch.equal(other.training_step(batch).parts["contrast"], losses[0])
    assert not torch.equal(losses[0], losses[1])


@pytest.mark.parametrize("positives", [0, 2])
def test_warm_up_with_a_queue_is_k_positive_contrast(positives: int) -> None:
    data = Images()
    method, network = build(QUEUE, f"{SUBCLASS}.POSITIVES", positives)
    method.set_epoch(1)
    for number in range(2):
        method.training_step(data.batch(number))
    contrast = queue_of(method)
    batch, queue, samples = data.batch(2), contrast.queue.keys[0].clone(), contrast.queue.samples.clone()
    labels = torch.where(samples >= 0, data.labels[samples], -1)
    torch.manual_seed(1)
    found = method.training_step(batch)
    key = contrast.key_encoder(batch.images[1])[0]
    torch.manual_seed(1)
    expected = k_positive_contrastive(
        *(project(network, batch.images[0]), key, queue, batch.labels, labels), k=positives, temperature=0.1
    )
    torch.testing.assert_close(found.parts["contrast"], expected.detach())
    assert found.logits.shape == (1, 6, 4)


def test_step_with_a_queue_contrasts_subclasses_of_the_newest_clustering() -> None:
    """Keys that entered before a clustering have its subclasses afterwards."""
    method, network, data = clustered(QUEUE, f"{SUBCLASS}.TEMPERATURE_RULE", "constant")
    contrast = queue_of(method)
    for number in range(2):
        step(method, network, data.batch(number))
    before = method.subclasses.ids.clone()
    method.set_epoch(4)
    method.on_epoch_start(4, data)
    assert not torch.equal(method.subclasses.ids, before)
    batch, queue, samples = data.batch(2), contrast.queue.keys[0].clone(), contrast.queue.samples.clone()
    assert int((samples >= 0).sum()) == 12
    known = samples >= 0
    found = method.training_step(batch)
    expected = subclass_contrastive_queue(
        *(project(network, batch.images[0]), contrast.key_encoder(batch.images[1])[0], queue),
        *(batch.labels, method.subclasses.ids[batch.indices]),
        torch.where(known, data.labels[samples], -1),
        torch.where(known, method.subclasses.ids[samples], -1),
        temperature=0.1,
        beta=0.25,
        class_temperature=0.1,
    )
    torch.testing.assert_close(found.parts["contrast"], expected.detach())
    assert contrast.queue.samples[12:].tolist() == batch.indices[:4].tolist()


def test_on_epoch_start_clusters_the_vectors_of_the_chosen_encoder_and_view() -> None:
    for kind in (IN_BATCH, QUEUE):
        data = Images()
        method, network = build(kind, f"{SUBCLASS}.VIEW", "train", data=data)
        if kind is QUEUE:  # the momentum encoder is clustered, not the network
            with torch.no_grad():
                for parameter in network.parameters():
                    parameter.add_(torch.randn_like(parameter))
        method.on_epoch_start(1, data)
        assert data.views == [] and torch.equal(method.subclasses.ids, data.labels)
        method.on_epoch_start(2, data)
        assert data.views == ["train"]
        images = data.images[0]
        vectors = project(network, images) if kind is IN_BATCH else queue_of(method).key_encoder(images)[0]
        other, _ = build(kind, data=data)
        other.subclasses.cluster(vectors.detach(), 2)
        assert torch.equal(method.subclasses.ids, other.subclasses.ids)
        torch.testing.assert_close(method.subclasses.temperatures, other.subclasses.temperatures)


@pytest.mark.parametrize("kind", [IN_BATCH, QUEUE])
def test_probe_changes_nothing_about_the_features(kind: list[Any]) -> None:
    method, network, data = clustered(kind)
    again, twin, _ = clustered(kind)
    batch = data.batch(0)
    images, _ = again.contrast.rows(batch)
    contrast = again.contrast(project(twin, images), batch, subclasses=again.subclasses, warming=False)
    loss = method.training_step(batch).loss
    check_gradients_of("backbone", loss, contrast, networks=(network, twin))
    check_gradients_of("projection", loss, contrast, networks=(network, twin))


@pytest.mark.parametrize("kind", [IN_BATCH, QUEUE])
def test_probe_learns_from_the_features(kind: list[Any]) -> None:
    method, network, data = clustered(kind)
    batch = data.batch(0)
    images, targets = method.contrast.rows(batch)
    probe = F.cross_entropy(network.heads[0](network(images).features[0]), targets)
    check_gradients_of("head", method.training_step(batch).loss, probe, networks=(network, network))


def check_gradients_of(part: str, first: Tensor, second: Tensor, *, networks: tuple[Network, Network]) -> None:
    """Compare the gradients of two losses for one part of their networks."""
    gradients = [
        torch.autograd.grad(loss, list(network.experts[0].get_submodule(part).parameters()), retain_graph=True)
        for loss, network in zip((first, second), networks, strict=True)
    ]
    assert gradients[0]
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other)


def test_state_of_the_method_resumes_bit_for_bit() -> None:
    method, network, data = clustered(QUEUE)
    for number in range(3):
        step(method, network, data.batch(number))
    other, twin = build(QUEUE, data=data)
    other.load_state_dict(method.state_dict())
    twin.load_state_dict(network.state_dict())
    other.set_epoch(2)  # a resume inside the epoch does not call on_epoch_start
    for number in range(3, 6):
        torch.manual_seed(number)
        first = step(method, network, data.batch(number))
        torch.manual_seed(number)
        assert torch.equal(step(other, twin, data.batch(number)), first)
    for name, value in network.state_dict().items():
        assert torch.equal(twin.state_dict()[name], value)


@pytest.mark.slow
@pytest.mark.parametrize("epoch", [1, 2])
def test_figures_show_features_and_subclasses_once_there_are_any(tmp_path: Path, epoch: int) -> None:
    data = Images()
    method, _ = build(IN_BATCH, data=data)
    method.on_epoch_start(epoch, data)
    drawings = method.figures(data)
    assert list(drawings) == ["features.png", "subclasses.png"][:epoch]
    for name, draw in drawings.items():
        draw(tmp_path / name)
        assert (tmp_path / name).stat().st_size > 5000


def test_one_subclass_per_class_contrasts_classes() -> None:
    method, _, data = clustered(IN_BATCH, f"{SUBCLASS}.DELTA", 100, f"{SUBCLASS}.BETA", 0.0)
    assert torch.equal(method.subclasses.ids, data.labels)
    warm, _ = build(IN_BATCH)
    warm.set_epoch(1)
    batch = data.batch(0)
    torch.testing.assert_close(method.training_step(batch).loss, warm.training_step(batch).loss)


@pytest.mark.parametrize(
    ("kind", "overrides", "message"),
    [
        (IN_BATCH, ["DATASET.VIEWS", ["none"]], r"^DATASET.VIEWS has 1 views \(none\); .* needs two or more$"),
        (QUEUE, ["DATASET.VIEWS", ["none"] * 3], r"^DATASET.VIEWS has 3 views .* needs two, for the query and"),
        (IN_BATCH, ["BACKBONE.MULTI_NETWORK_TYPE", ["small", "small"]], r"subclass_contrastive trains one expert"),
        (IN_BATCH, ["NETWORK.TYPE", "cascade"], r"subclass_contrastive trains one expert: NETWORK.TYPE experts"),
        (
            [],
            [],
            r"^NETWORK.PROJECTION_DIM is 0; subclass_contrastive needs a projection head, for example of width 128$",
        ),
        (QUEUE, ["NETWORK.PROJECTION_DIM", 8], r"^NETWORK.PROJECTION_DIM is 8; with NETWORK.MOCO, MOCO_DIM is the"),
        (QUEUE, [f"{SUBCLASS}.BASE_TEMPERATURE", 0.07], r"BASE_TEMPERATURE must be off for subclass_contrastive with"),
        (QUEUE, ["NETWORK.MOCO_RELEASED", True], r"^NETWORK.MOCO_RELEASED and .* must be off"),
    ],
)
def test_check_refuses_what_cannot_be_contrasted(kind: list[Any], overrides: list[Any], message: str) -> None:
    views = ["TRAIN.COMBINER.TYPE", "subclass_contrastive", "DATASET.VIEWS", ["none", "none"]]
    with pytest.raises(UserError, match=message):
        METHODS.get("subclass_contrastive").check(load_config(None, [*views, *kind, *overrides]))


@pytest.mark.parametrize("kind", [IN_BATCH, QUEUE])
def test_contrast_is_float32_under_autocast(kind: list[Any]) -> None:
    method, network, data = clustered(kind)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = method.training_step(data.batch(0))
    assert found.parts["contrast"].dtype == torch.float32
    assert all(
        torch.isfinite(gradient).all() for gradient in torch.autograd.grad(found.loss, list(network.parameters()))
    )


@pytest.mark.parametrize("kind", [IN_BATCH, QUEUE])
def test_contrast_is_finite_at_a_temperature_of_0_005(kind: list[Any]) -> None:
    low = [f"{SUBCLASS}.TEMPERATURE", 0.005, f"{SUBCLASS}.CLASS_TEMPERATURE", 0.005]
    method, network, data = clustered(kind, *low)
    loss = method.training_step(data.batch(0)).loss
    assert all(torch.isfinite(gradient).all() for gradient in torch.autograd.grad(loss, list(network.parameters())))


@pytest.mark.parametrize(("length", "taken"), [(16, True), (12, False)])
def test_build_takes_the_momentum_branch_of_a_released_file(tmp_path: Path, length: int, taken: bool) -> None:
    """A queue of another length is skipped."""
    _, network = build(QUEUE)
    prefixes = {"backbone": "encoder_{}.", "projection": "encoder_{}.fc."}
    file: dict[str, Tensor] = {}
    for name, value in network.state_dict().items():
        _, _, part, rest = name.split(".", 3)
        if part in prefixes:
            file |= {prefixes[part].format("q") + rest: value, prefixes[part].format("k") + rest: value + 1}
    keys = torch.randn(5, length)
    path = tmp_path / "released.pth"
    torch.save({"state_dict": {**file, "queue": keys, "queue_ptr": torch.tensor([3])}}, path)
    pretrained = ["NETWORK.PRETRAINED", True, "NETWORK.PRETRAINED_MODEL", str(path)]
    contrast = queue_of(build(QUEUE, *pretrained)[0])
    for name, value in contrast.key_encoder.named_parameters():
        torch.testing.assert_close(value.detach(), network.state_dict()[name] + 1)
    assert torch.equal(contrast.queue.keys[0], keys.T) if taken else int(contrast.queue.pointer) == 0
    assert contrast.queue.samples.tolist() == [-1] * 16


def test_losses_of_several_experts_are_refused() -> None:
    with pytest.raises(UserError, match=r"NIL_NBOD is a loss of several experts; the probe has one head"):
        build(IN_BATCH, "LOSS.LOSS_TYPE", "NIL_NBOD", "LOSS.HCM_N", 2)
