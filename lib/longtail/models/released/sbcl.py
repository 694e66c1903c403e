"""Parameter names of SBCL: one expert with a projection head; its CIFAR code and its ImageNet code differ.

| this project             | CIFAR (SimCLR/) | ImageNet-LT (moco/) |
|--------------------------|-----------------|---------------------|
| experts.0.backbone.*     | encoder.*       | encoder_q.*         |
| experts.0.projection.*   | head.*          | encoder_q.fc.*      |

encoder.linear.* is never used; it has no name here. The momentum branch belongs to the training method:

| this project                         | ImageNet-LT (moco/)     |
|--------------------------------------|-------------------------|
| key_encoder.experts.0.backbone.*     | encoder_k.*             |
| key_encoder.experts.0.projection.*   | encoder_k.fc.*          |
| queue.keys (1, K, P)                 | queue (P, K)            |
| queue.pointer ()                     | queue_ptr (1,)          |

This project stores the samples of the keys instead of their labels, queue_l and queue_t, from which samples cannot be
inferred: until the loaded keys are replaced, they serve as negatives only.
"""

import re
from collections.abc import Mapping

from torch import Tensor

from longtail.models.released.names import NameTable

SBCL = NameTable(
    "SBCL",
    r"encoder\.",
    ((r"encoder\.(?!linear\.)(.+)", r"experts.0.backbone.\1"), (r"head\.(\d.*)", r"experts.0.projection.\1")),
)
SBCL_MOCO = NameTable(
    "SBCL with a queue",
    r"encoder_q\.",
    (
        (r"encoder_q\.fc\.(.+)", r"experts.0.projection.\1"),
        (r"encoder_q\.(.+)", r"experts.0.backbone.\1"),
    ),
)


def momentum_branch(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the momentum branch of a released SBCL file under this project's names; empty if there is none.

    Args:
        state_dict: Parameters and buffers under the names of SBCL, with or without `module.`.

    Returns:
        "key_encoder.experts.0.*", "queue.keys" (1, K, P) and "queue.pointer" (), for the state of the training method.
    """
    released = {re.sub(r"^(module\.)+", "", name): value for name, value in state_dict.items()}
    branch = {}
    for name, value in released.items():
        match = re.fullmatch(r"encoder_k\.(fc\.)?(.+)", name)
        if match:
            part = "projection" if match[1] else "backbone"
            branch[f"key_encoder.experts.0.{part}.{match[2]}"] = value
    if branch and "queue" in released:
        branch["queue.keys"] = released["queue"].t()[None]
        branch["queue.pointer"] = released["queue_ptr"].reshape(())
    return branch
