"""NCL's released network with its momentum branch gives the released logits, queries and keys."""

import pytest
import torch
from torch import Tensor

from longtail.config import load_config
from longtail.losses import build_loss
from longtail.methods import Contrastive, build_method
from longtail.models import LoadReport, Network, build_model, load_momentum_branch, load_released_weights
from tests.helpers.golden import record, relative_error, released_parameters, tensor
from tests.helpers.methods import KnownData

pytestmark = pytest.mark.slow

NAME = "ncl_moco_res32_fc"
METHOD = [
    *("TRAIN.COMBINER.TYPE", "multi_network_default_CON", "DATASET.DATASET", "MULTI_NETWORK_CIFAR_MOCO_AUGPLIS"),
    *("LOSS.LOSS_TYPE", "NIL_NBOD"),
]
Loaded = tuple[dict[str, Tensor], Network, Contrastive, tuple[LoadReport, LoadReport]]


@pytest.fixture(scope="module", params=["", "module."])
def loaded(request: pytest.FixtureRequest) -> Loaded:
    """Return weights under the released names, and network and method filled with them, with both reports."""
    (network,) = (one for one in record("networks")["networks"] if one["name"] == NAME)
    weights = {request.param + name: value for name, value in released_parameters(network["parameters"]).items()}
    cfg = load_config(None, [*network["options"], *METHOD])
    classes = network["num_classes"]
    model = build_model(cfg, classes)
    method = build_method(cfg, model, build_loss(cfg, [10] * classes), KnownData([10] * classes)).eval()
    assert isinstance(model, Network) and isinstance(method, Contrastive)
    reports = load_released_weights(model, weights), load_momentum_branch(method, weights)
    model.eval()
    return weights, model, method, reports


def test_contrastive_load_released_uses_every_golden_parameter(loaded: Loaded) -> None:
    weights, model, method, (of_network, of_branch) = loaded
    assert (of_network.missing, of_branch.missing, of_branch.unexpected) == ([], [], [])
    assert sorted(of_network.loaded) == sorted(model.state_dict())
    branch = {"MOCO", "backbone_MA", "classifier_MA"}
    assert {name.removeprefix("module.").split(".")[0] for name in of_network.unexpected} == branch
    queues = [value for name, value in weights.items() if name.endswith(".queue")]
    assert all(torch.equal(keys, queue.t()) for keys, queue in zip(method.queue.keys, queues, strict=True))


@torch.no_grad()
def test_contrastive_logits_queries_and_keys_match_golden(loaded: Loaded) -> None:
    _, model, method, _ = loaded
    output = model(tensor("networks", f"{NAME}.images"), project=True)
    assert relative_error(output.logits, tensor("networks", f"{NAME}.logits")) < 1e-4
    assert relative_error(output.projections, tensor("networks", f"{NAME}.queries")) < 1e-4
    keys = tensor("networks", f"{NAME}.keys")
    lengths = keys.norm(dim=2, keepdim=True)
    own = method.key_encoder(tensor("networks", f"{NAME}.key_images"))
    assert relative_error(own * lengths, keys) < 1e-4
