"""Outputs for all images of a loader: in one, two and three processes every sample counts exactly once."""

from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn

from longtail.data import Normalize, Shard
from longtail.data.loaders import LoaderSettings, MemoryLoader
from longtail.data.samplers import InstanceBalanced
from longtail.distributed import Place
from longtail.engine.finite_guard import NotFinite
from longtail.engine.inference import Stopped, TrainingSet, evaluate, outputs
from longtail.evaluation import Evaluator
from longtail.models import Expert, Network
from tests.helpers.processes import Results, run_processes
from tests.helpers.training import CPU, Tiny

pytestmark = pytest.mark.slow

SAMPLES, CLASSES, BATCH = 53, 5, 7
NORMALIZE = Normalize((0.5,) * 3, (0.2,) * 3)


def images_and_labels() -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (SAMPLES, 3, 32, 32), dtype=torch.uint8, generator=random)
    return images, torch.randint(0, CLASSES, (SAMPLES,), generator=random)


def network() -> Network:
    torch.manual_seed(0)
    return Network([Expert(Tiny(), nn.Linear(8, CLASSES)) for _ in range(2)])


def loader(shard: Shard, *, view: str = "clean") -> MemoryLoader:
    """Return the shard of a loader; the view "train" adds random numbers to the images."""

    def policy(images: Tensor, random: torch.Generator) -> Tensor:
        noise = torch.randint(0, 50, (len(images), 1, 1, 1), dtype=torch.uint8, generator=random)
        return images if view == "clean" else images // 2 + noise

    images, labels = images_and_labels()
    settings = LoaderSettings(
        sampler=InstanceBalanced(SAMPLES, seed=0, shuffle=False),
        labels=labels,
        batch_size=BATCH,
        seed=0,
        shard=shard,
    )
    return MemoryLoader(images, [policy], settings=settings)


def new_evaluator() -> Evaluator:
    return Evaluator(CLASSES, 2, [10, 5, 4, 3, 2])


def training_set(shard: Shard) -> TrainingSet:
    return TrainingSet(
        [10, 5, 4, 3, 2],
        images_and_labels()[1],
        ordered_loader=lambda view: loader(shard, view=view),
        normalize=NORMALIZE,
        place=CPU,
    )


def work(rank: int, world: int) -> dict[str, Any]:
    shard = Shard(rank, world)
    evaluator = evaluate(network(), loader(shard), new_evaluator(), normalize=NORMALIZE, place=CPU)
    encoded, own = training_set(shard).outputs(network()), network()
    own.get_buffer("experts.0.backbone.body.1.running_mean").add_(rank)
    shared = training_set(shard).outputs(own).logits
    alone = training_set(shard).outputs(network(), logits=False)
    assert torch.equal(cast(Tensor, alone.features), cast(Tensor, encoded.features))
    assert alone.logits.shape == (*encoded.logits.shape[:2], 0)
    return {"state": evaluator.state(), "logits": encoded.logits, "features": encoded.features, "shared": shared}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return run_processes(work, tmp_path_factory.mktemp("worlds"), worlds=(1, 2, 3))


@pytest.mark.parametrize("world", [2, 3])
def test_evaluate_counts_every_sample_once(results: Results, world: int) -> None:
    (alone,) = results[1]
    for process in results[world]:
        for one, other in zip(alone["state"][:4], process["state"][:4], strict=True):
            assert torch.equal(one, other)
        assert process["state"][2][0] == SAMPLES
        torch.testing.assert_close(
            process["state"][4], alone["state"][4], rtol=1e-12, atol=0
        )  # summed in another order


@pytest.mark.parametrize("world", [1, 2, 3])
def test_outputs_of_the_training_set_are_in_order_on_every_process(results: Results, world: int) -> None:
    images, _ = images_and_labels()
    with torch.no_grad():
        expected = network().eval()(NORMALIZE(images[None])[0])
    for process in results[world]:
        torch.testing.assert_close(process["logits"], expected.logits)
        torch.testing.assert_close(process["features"], expected.features)


@pytest.mark.parametrize("world", [2, 3])
def test_outputs_of_the_training_set_are_those_of_the_statistics_of_process_0(results: Results, world: int) -> None:
    for process in results[world]:
        assert torch.equal(process["shared"], process["logits"])


def test_outputs_of_the_training_set_restore_the_mode_and_depend_on_the_epoch() -> None:
    data, net = training_set(Shard()), network().train()
    statistics = net.get_buffer("experts.0.backbone.body.1.running_mean").clone()
    first, again = data.outputs(net, "train").logits, data.outputs(net, "train").logits
    assert net.training
    assert torch.equal(net.get_buffer("experts.0.backbone.body.1.running_mean"), statistics)
    data.epoch = 2
    second = data.outputs(net, "train").logits
    assert torch.equal(first, again) and not torch.equal(first, second)
    assert not first.requires_grad


def test_outputs_keep_a_tuple_of_features_of_several_widths() -> None:
    class Wide(nn.Module):
        """Features of two widths."""

        def forward(self, images: Tensor) -> Any:
            flat = images.flatten(1)
            return network().eval()(images)._replace(features=(flat[:, :3], flat[:, :5]))

    features = training_set(Shard()).outputs(Wide()).features
    images, _ = images_and_labels()
    flat = NORMALIZE(images[None])[0].flatten(1)
    assert isinstance(features, tuple)
    assert torch.equal(features[0], flat[:, :3]) and torch.equal(features[1], flat[:, :5])


def test_outputs_are_in_float32_under_mixed_precision() -> None:
    place = Place(precision="bf16")
    for _, output in outputs(network(), loader(Shard()), normalize=NORMALIZE, place=place):
        assert isinstance(output.features, Tensor) and output.features.dtype == torch.bfloat16
    data = training_set(Shard())
    data._place = place
    features = data.outputs(network()).features
    assert isinstance(features, Tensor) and features.dtype == torch.float32


def test_evaluate_stops_when_it_is_asked_to() -> None:
    asked = iter([False, False, True])
    evaluator = new_evaluator()
    with pytest.raises(Stopped):
        evaluate(
            network(),
            loader(Shard()),
            evaluator,
            normalize=NORMALIZE,
            place=CPU,
            should_stop=lambda: next(asked),
        )
    assert int(evaluator.state()[2][0]) == 2 * BATCH


def test_evaluate_names_what_is_not_finite() -> None:
    net = network()
    net.get_parameter("experts.1.head.weight").data[2, 3] = torch.nan
    with pytest.raises(
        NotFinite, match=r"^53 samples have logits that are not finite; experts\.1\.head\.weight is not"
    ):
        evaluate(net, loader(Shard()), new_evaluator(), normalize=NORMALIZE, place=CPU)


def test_evaluate_names_the_module_whose_outputs_overflow() -> None:
    net = network()
    net.get_parameter("experts.0.backbone.body.0.weight").data.fill_(3e38)
    with pytest.raises(NotFinite, match=r"outputs of experts\.0\.backbone\.body\.0 are not finite"):
        evaluate(net, loader(Shard()), new_evaluator(), normalize=NORMALIZE, place=CPU)
