"""What the heads of a second stage take over from a file, and what is frozen below them."""

import pytest
import torch

from longtail.config import load_config
from longtail.errors import UserError
from longtail.models import build_model, load_released_weights, start_from

C = 4


def network(head, *overrides):
    cfg = load_config(None, ["BACKBONE.TYPE", "res32_cifar", "CLASSIFIER.TYPE", head, *overrides])
    return build_model(cfg, C)


def numbered(model):
    """Weights of a first stage, each tensor full of one number."""
    return {name: torch.full_like(value, n % 7 + 2) for n, (name, value) in enumerate(model.state_dict().items())}


def as_released(weights):
    """The same under the names of Bag of Tricks."""
    return {
        f"module.{name.replace('experts.0.head', 'classifier').replace('experts.0.', '')}": value
        for name, value in weights.items()
    }


FIRST = numbered(network("FC"))


@pytest.mark.parametrize("names", [dict, as_released], ids=["own", "released"])
def test_retraining_takes_the_backbone_and_leaves_the_classifier(names):
    model = network("cRT")
    head = {name: value.clone() for name, value in model.experts[0].head.state_dict().items()}
    report = start_from(model, names(FIRST))
    assert (report.missing, report.unexpected) == ([], [])
    for name, value in model.experts[0].head.state_dict().items():
        assert torch.equal(value, head[name])
    for name, value in model.state_dict().items():
        assert "head" in name or torch.equal(value, FIRST[name])


@pytest.mark.parametrize("names", [dict, as_released], ids=["own", "released"])
@pytest.mark.parametrize("load", [start_from, load_released_weights])
def test_the_classifier_of_a_first_stage_fills_fc(names, load):
    model = network("LWS")
    report = load(model, names(FIRST))
    head = model.experts[0].head
    assert torch.equal(head.fc.weight, FIRST["experts.0.head.weight"])
    assert torch.equal(head.fc.bias, FIRST["experts.0.head.bias"])
    assert torch.equal(head.scales, torch.ones(C))
    assert report.unexpected == []
    assert report.missing == ([] if load is start_from else ["experts.0.head.scales"])


@pytest.mark.parametrize("head", ["cRT", "LWS"])
@pytest.mark.parametrize("names", [dict, as_released], ids=["own", "released"])
def test_what_was_trained_in_a_second_stage_is_judged_and_resumed_as_it_is(head, names):
    second = numbered(network(head))
    model = network(head)
    report = load_released_weights(model, names(second))
    assert (report.missing, report.unexpected) == ([], [])
    assert all(torch.equal(value, second[name]) for name, value in model.state_dict().items())
    if head == "LWS":
        assert "module.classifier.fc.weight" in as_released(second) and "module.classifier.scales" in as_released(
            second
        )


def test_retraining_does_not_mind_other_classes_below_it():
    other = build_model(load_config(None, ["BACKBONE.TYPE", "res32_cifar"]), C + 3).state_dict()
    start_from(network("cRT"), other)
    with pytest.raises(UserError, match=r"weights do not fit: experts\.0\.head\.weight is \[7, 64\]"):
        start_from(network("LWS"), other)


@pytest.mark.parametrize("file", [{}, {"CLASSIFIER.BIAS": False}])
def test_scaling_needs_a_linear_head_to_start_from(file):
    weights = {name: value for name, value in FIRST.items() if "head" not in name}
    if file:
        weights |= {"experts.0.head.weight": FIRST["experts.0.head.weight"]}
    with pytest.raises(
        UserError,
        match=rf"no linear head that fills the network's experts\.0\.head\.fc\.{'bias' if file else 'weight'}",
    ):
        start_from(network("LWS"), weights)
    if file:
        start_from(network("LWS", "CLASSIFIER.BIAS", False), weights)


@pytest.mark.parametrize("head", ["cRT", "LWS"])
def test_only_the_head_is_trained(head):
    trained = [name for name, parameter in network(head).named_parameters() if parameter.requires_grad]
    expected = ["weight", "bias"] if head == "cRT" else ["scales"]
    assert trained == [f"experts.0.head.{name}" for name in expected]


@pytest.mark.parametrize(("how", "still"), [("still", True), ("moving", False)])
def test_a_frozen_backbone_normalises_by_its_statistics_or_by_the_batch(how, still):
    model = network("cRT", "BACKBONE.FROZEN_STATISTICS", how)
    images = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        judged = model.eval()(images).features
        model.train()
        assert model.training and model.experts[0].head.training
        assert torch.equal(model(images).features, judged) == still
    assert all(module.training is not still for module in model.experts[0].backbone.modules())
