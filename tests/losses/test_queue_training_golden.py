"""Four training steps of SBCL's release with momentum encoder and queue, encoders being single linear layers."""

import pytest
import torch
from golden_records import record, relative_error, tensor
from torch import nn
from torch.nn import functional as F

from longtail.losses.contrastive import subclass_contrastive_queue

CASES = [case for case in record("sbcl_stage2")["cases"] if case["kind"] == "queue_training"]
assert len(CASES) == 2


def linear(array, name):
    weight, bias = array(f"{name}.weight"), array(f"{name}.bias")
    layer = nn.Linear(weight.shape[1], weight.shape[0])
    layer.load_state_dict({"weight": weight, "bias": bias})
    return layer


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_losses_encoders_and_queue_are_the_released_ones(case):
    def array(name):
        return tensor("sbcl_stage2", f"{case['id']}.{name}")

    query_encoder, key_encoder = linear(array, "query_encoder0"), linear(array, "key_encoder0")
    queue, batch = array("queue0").T.clone(), case["batch"]
    queue_ids = [torch.full((case["queue"],), -1) for _ in range(2)]
    optimizer = torch.optim.SGD(
        query_encoder.parameters(), case["lr"], momentum=case["sgd_momentum"], weight_decay=case["weight_decay"]
    )
    settings = {name: case[name] for name in ("temperature", "class_temperature", "beta")}
    for step, golden in enumerate(case["losses"]):
        ids = array(f"labels{step}"), array(f"subclass{step}")
        assert torch.equal(queue_ids[0], array(f"queue_labels_seen{step}"))
        assert torch.equal(queue_ids[1], array(f"queue_subclass_seen{step}"))
        query = F.normalize(query_encoder(array(f"x_query{step}")), dim=1)
        with torch.no_grad():
            torch._foreach_lerp_(list(key_encoder.parameters()), list(query_encoder.parameters()), 1 - case["momentum"])
            key = F.normalize(key_encoder(array(f"x_key{step}")), dim=1)
        cosines = torch.cat([(query * key).sum(1, keepdim=True), query @ queue.T], dim=1)
        assert relative_error(cosines.detach(), array(f"logits{step}")) < 1e-5
        loss = subclass_contrastive_queue(query, key, queue.clone(), *ids, *queue_ids, **settings)
        assert loss.item() == pytest.approx(golden, rel=1e-5)
        places = torch.arange(step * batch, (step + 1) * batch) % case["queue"]
        for kept, new in zip((queue, *queue_ids), (key, *ids), strict=True):
            kept[places] = new
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert (len(case["losses"]) * batch) % case["queue"] == case["pointer_end"]
    ends = {"query_encoder_end": query_encoder, "key_encoder_end": key_encoder}
    for name, encoder in ends.items():
        assert relative_error(encoder.weight.detach(), array(f"{name}.weight")) < 1e-5
        assert relative_error(encoder.bias.detach(), array(f"{name}.bias")) < 1e-5
    assert relative_error(queue.T, array("queue_end")) < 1e-5
    assert torch.equal(queue_ids[0], array("queue_labels_end"))
    assert torch.equal(queue_ids[1], array("queue_subclass_end"))
