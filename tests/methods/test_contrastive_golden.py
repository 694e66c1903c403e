"""The released network with its momentum branch gives the released logits, queries and keys."""

import pytest
import torch
from golden_records import record, relative_error, released_parameters, tensor

from longtail.config import load_config
from longtail.losses import build_loss
from longtail.methods import build_method
from longtail.models import build_model, load_released_weights

NAME = "ncl_moco_res32_fc"
METHOD = [
    *("TRAIN.COMBINER.TYPE", "multi_network_default_CON", "DATASET.DATASET", "MULTI_NETWORK_CIFAR_MOCO_AUGPLIS"),
    *("LOSS.LOSS_TYPE", "NIL_NBOD"),
]


@pytest.fixture(scope="module", params=["", "module."])
def loaded(request):
    """Weights under the released names, and the network and the method filled with them."""
    (network,) = (one for one in record("networks")["networks"] if one["name"] == NAME)
    weights = {request.param + name: value for name, value in released_parameters(network["parameters"]).items()}
    cfg = load_config(None, [*network["options"], *METHOD])
    model = build_model(cfg, network["num_classes"])
    method = build_method(cfg, model, build_loss(cfg, [10] * network["num_classes"])).eval()
    reports = load_released_weights(model, weights), method.load_released(weights)
    return weights, model.eval(), method, reports


def test_nothing_is_missing_and_everything_is_used(loaded):
    weights, model, method, (of_network, of_branch) = loaded
    assert (of_network.missing, of_branch.missing, of_branch.unexpected) == ([], [], [])
    assert sorted(of_network.loaded) == sorted(model.state_dict())
    branch = {"MOCO", "backbone_MA", "classifier_MA"}
    assert {name.removeprefix("module.").split(".")[0] for name in of_network.unexpected} == branch
    queues = [value for name, value in weights.items() if name.endswith(".queue")]
    assert all(torch.equal(keys, queue.t()) for keys, queue in zip(method.queue.keys, queues, strict=True))


@torch.no_grad()
def test_logits_queries_and_keys_are_the_released_ones(loaded):
    _, model, method, _ = loaded
    output = model(tensor("networks", f"{NAME}.images"), project=True)
    assert relative_error(output.logits, tensor("networks", f"{NAME}.logits")) < 1e-4
    assert relative_error(output.projections, tensor("networks", f"{NAME}.queries")) < 1e-4
    keys = tensor("networks", f"{NAME}.keys")
    lengths = keys.norm(dim=2, keepdim=True)
    own = method.key_encoder(tensor("networks", f"{NAME}.key_images"))
    assert relative_error(own * lengths, keys) < 1e-4
