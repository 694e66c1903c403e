"""Parameter names of NCL.

| file                        | backbone of expert k   | head of expert k    | projection head of expert k |
|-----------------------------|------------------------|---------------------|-----------------------------|
| this project                | experts.k.backbone.*   | experts.k.head.*    | experts.k.projection.*      |
| NCL                         | backbone.k.*           | classifier.k.*      |                             |
| NCL with the MoCo branch    | backbone.k.*           | classifier_ce.k.*   | classifier.k.*              |

The momentum branch belongs to the training method:

| this project                         | NCL with the MoCo branch                 |
|--------------------------------------|------------------------------------------|
| key_encoder.experts.k.backbone.*     | backbone_MA.k.*                          |
| key_encoder.experts.k.projection.*   | classifier_MA.k.*                        |
| queue.keys (E, K, P)                 | MOCO.k.queue (P, K), one per expert      |
| queue.pointer ()                     | MOCO.k.queue_ptr (1,), all equal         |
"""

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from longtail.errors import UserError
from longtail.models.released.names import NameTable

_BACKBONE = (r"backbone\.(\d+)\.(.+)", r"experts.\1.backbone.\2")

NCL_MOCO = NameTable(
    "NCL with the MoCo branch",
    r"classifier_ce\.",
    (
        (r"classifier\.(\d+)\.(.+)", r"experts.\1.projection.\2"),
        (r"classifier_ce\.(\d+)\.(.+)", r"experts.\1.head.\2"),
        _BACKBONE,
    ),
)
NCL = NameTable(
    "NCL", r"(backbone|classifier)\.\d+\.", (_BACKBONE, (r"classifier\.(\d+)\.(.+)", r"experts.\1.head.\2"))
)


def momentum_branch(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the momentum branch of a released NCL file under this project's names; empty if there is none.

    Args:
        state_dict: Parameters and buffers under the names of NCL, with or without `module.`.

    Returns:
        "key_encoder.experts.k.*", "queue.keys" (E, K, P) and "queue.pointer" (), for the state of the training method.

    Raises:
        UserError: The queues of the experts differ in shape or pointer.
    """
    released = {re.sub(r"^(module\.)+", "", name): value for name, value in state_dict.items()}
    branch = {}
    for name, value in released.items():
        match = re.fullmatch(r"(backbone|classifier)_MA\.(\d+)\.(.+)", name)
        if match:
            part = "backbone" if match[1] == "backbone" else "projection"
            branch[f"key_encoder.experts.{match[2]}.{part}.{match[3]}"] = value
    queues = [value for name, value in _numbered(released, r"MOCO\.(\d+)\.queue")]
    pointers = [int(value) for name, value in _numbered(released, r"MOCO\.(\d+)\.queue_ptr")]
    if queues:
        if len({queue.shape for queue in queues}) > 1 or len(set(pointers)) > 1:
            raise UserError("weights do not fit: the MoCo queues of the experts differ in shape or pointer")
        branch["queue.keys"] = torch.stack([queue.t() for queue in queues])
        branch["queue.pointer"] = torch.tensor(pointers[0] if pointers else 0)
    return branch


def _numbered(weights: Mapping[str, Tensor], pattern: str) -> list[tuple[int, Tensor]]:
    """Return (number in the name, value) of the entries whose name matches, ordered by number."""
    matches = [(re.fullmatch(pattern, name), value) for name, value in weights.items()]
    return sorted(((int(match[1]), value) for match, value in matches if match), key=lambda pair: pair[0])
