import pytest
import torch
from golden_records import record, relative_error, released_parameters, tensor

from longtail.config import load_config
from longtail.errors import UserError
from longtail.models import build_model, load_backbone_weights, load_released_weights

RECORDS = {
    network["name"]: network
    for network in record("networks")["networks"]
    if network["options"][1] == "res32_cifar"  # the backbones there are
}
FC = RECORDS["ncl_res32_fc"]


def released(network, prefix=""):
    return {prefix + name: value for name, value in released_parameters(network["parameters"]).items()}


def built(network, *overrides, num_classes=None):
    cfg = load_config(None, [*network["options"], *overrides])
    return build_model(cfg, num_classes or network["num_classes"]).eval()


def bag_of_tricks(prefix=""):
    """The first expert of the recorded network under the names of Bag of Tricks."""
    return {
        prefix + name.replace(".0.", ".", 1): value
        for name, value in released(FC).items()
        if name.startswith(("backbone.0.", "classifier.0."))
    }


def one_expert(*overrides, num_classes=10):
    overrides = ["BACKBONE.TYPE", "res32_cifar", *overrides]
    return build_model(load_config(None, overrides), num_classes).eval()


@torch.no_grad()
def outputs(model, name):
    return model(tensor("networks", f"{name}.images"))


@pytest.mark.parametrize("prefix", ["", "module.", "module.module."])
@pytest.mark.parametrize("name", RECORDS)
def test_released_networks_give_the_released_outputs(name, prefix):
    network = RECORDS[name]
    model = built(network)
    report = load_released_weights(model, released(network, prefix))
    assert report.missing == []
    assert sorted(report.loaded) == sorted(model.state_dict())
    output = outputs(model, name)
    assert relative_error(output.logits, tensor("networks", f"{name}.logits")) < 1e-4
    if name != "ncl_moco_res32_fc":  # its record has queries instead
        assert relative_error(output.features, tensor("networks", f"{name}.features")) < 1e-4


@pytest.mark.parametrize("name", RECORDS)
def test_only_the_contrastive_branch_is_unexpected(name):
    network = RECORDS[name]
    unexpected = load_released_weights(built(network), released(network, "module.")).unexpected
    rest = [key for key in network["parameters"] if key.startswith(("MOCO.", "backbone_MA.", "classifier_MA."))]
    assert len(rest) > 500 or "moco" not in name
    assert sorted(unexpected) == sorted(f"module.{key}" for key in rest)


@pytest.mark.parametrize("prefix", ["", "module."])
def test_bag_of_tricks_names_are_those_of_one_expert(prefix):
    model = one_expert()
    report = load_released_weights(model, bag_of_tricks(prefix))
    assert (report.missing, report.unexpected) == ([], [])
    logits = outputs(model, "ncl_res32_fc").logits
    assert relative_error(logits, tensor("networks", "ncl_res32_fc.logits")[:1]) < 1e-4


def test_own_names_load_as_they_are():
    first, second = one_expert(), one_expert()
    report = load_released_weights(second, {f"module.{name}": value for name, value in first.state_dict().items()})
    assert (report.missing, report.unexpected) == ([], [])
    assert all(torch.equal(value, second.state_dict()[name]) for name, value in first.state_dict().items())


def test_what_the_file_lacks_is_missing_and_keeps_its_values():
    model = one_expert()
    before = model.experts[0].head.weight.clone()
    file = {name: value for name, value in bag_of_tricks().items() if name.startswith("backbone")}
    report = load_released_weights(model, file | {"extra": torch.zeros(1)})
    assert report.missing == ["experts.0.head.weight", "experts.0.head.bias"]
    assert report.unexpected == ["extra"]
    assert torch.equal(model.experts[0].head.weight, before)


def test_experts_that_the_model_does_not_have_are_unexpected():
    model = built(FC, "BACKBONE.MULTI_NETWORK_TYPE", ["res32_cifar"])
    report = load_released_weights(model, released(FC))
    assert report.missing == []
    assert {name.split(".")[1] for name in report.unexpected} == {"1", "2"}


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (
            bag_of_tricks("module."),
            r"weights do not fit: module\.classifier\.weight is \[10, 64\], .* experts\.0\.head\.weight is \[11, 64\]",
        ),
        ({"fc.weight": torch.zeros(3), "fc.bias": torch.zeros(3)}, r"none of the 2 names in the weights is known; exp"),
        ({"classifier.weight": torch.zeros(64)}, r"weights do not fit: classifier\.weight is \[64\]"),
        ({}, r"none of the 0 names"),
    ],
)
def test_weights_that_do_not_fit_are_refused_and_nothing_is_loaded(weights, message):
    model = one_expert(num_classes=11)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(UserError, match=rf"^{message}[^\n]*$"):
        load_released_weights(model, weights)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


# ------------------------------------------------------------------ backbones alone


@pytest.mark.parametrize("prefix", ["", "module.", "backbone.", "module.backbone."])
def test_a_backbone_takes_its_own_part_of_a_file(prefix):
    backbone = one_expert().experts[0].backbone
    values = {name: torch.full_like(value, 2) for name, value in backbone.state_dict().items()}
    file = {prefix + name: value for name, value in values.items()} | {"fc.weight": torch.zeros(10, 64)}
    report = load_backbone_weights(backbone, file)
    assert (report.missing, report.unexpected) == ([], ["fc.weight"])
    assert all(torch.equal(value, values[name]) for name, value in backbone.state_dict().items())


def test_a_file_of_another_backbone_is_refused():
    backbone = one_expert().experts[0].backbone
    with pytest.raises(
        UserError, match=r"^none of the 2 names in the weights fits the backbone \(conv1.weight, ...\)$"
    ):
        load_backbone_weights(backbone, {"conv1.weight": torch.zeros(64, 3, 7, 7), "fc.weight": torch.zeros(2)})
