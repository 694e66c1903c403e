"""The part of a checkpoint that holds the state of what is trained: network, method, optimizer, scaler and average."""

from typing import Any

from torch import Tensor

from longtail.distributed import maximum
from longtail.engine.compiling import uncompiled
from longtail.engine.diagnose import find_non_finite, non_finite_state
from longtail.engine.finite_guard import NotFinite
from longtail.engine.optim import load_state
from longtail.engine.training import Training
from longtail.errors import UserError, one_line


def training_state(training: Training) -> dict[str, Any]:
    """Return the state of everything that a step changes."""
    return {
        "model": training.network.state_dict(),
        "method": training.method.state_dict(),
        "optimizer": training.optimizer.state_dict(),
        "scaler": training.scaler.state_dict(),
        **({"average": training.average.state_dict()} if training.average else {}),
    }


def check_state(training: Training, images: Tensor | None) -> None:
    """Refuse a state that is not finite in any process; every process must call it.

    Args:
        training: Components of the training.
        images: uint8 images of the latest batch, (V, B, 3, H, W), on some of which the network is tried; None: only
            weights and state are checked.

    Raises:
        NotFinite: The weights, the logits, or the state of the method are not finite.
    """
    tried = None if images is None else training.loaders.normalize(images[:1, :8])[0]
    with uncompiled(), training.place.autocast():
        problem = find_non_finite(training.network, tried) or non_finite_state(training.method)
    if maximum(int(problem is not None), training.place.device):
        raise NotFinite(
            f"{problem or 'the network of another process is not finite'}; the state is not saved, "
            "older checkpoints are intact; a lower TRAIN.OPTIMIZER.BASE_LR, TRAIN.OPTIMIZER.CLIP_NORM 1.0 or "
            "TRAIN.AMP off may help"
        )


def restore_training(training: Training, content: dict[str, Any]) -> None:
    """Set the state of a training from that of a checkpoint.

    Raises:
        UserError: The state of network, method or optimizer does not fit, or there is no average of the weights.
    """
    try:
        training.network.load_state_dict(content["model"])
        training.method.load_state_dict(content["method"])
        load_state(training.optimizer, content["optimizer"])
    except (RuntimeError, ValueError, KeyError) as error:
        reason = one_line(error, 300)  # torch puts the reason after the first line
        raise UserError(
            "the checkpoint was written by another network, training method or optimizer and cannot be resumed: "
            f"{reason}; to start from its weights set NETWORK.PRETRAINED True"
        ) from None
    if content["scaler"]:  # it is empty without fp16
        training.scaler.load_state_dict(content["scaler"])
    if not training.average:
        return
    if "average" not in content:
        raise UserError(
            "the checkpoint has no average of the weights and cannot be resumed with TRAIN.EMA.DECAY; set it to 0, or "
            "set NETWORK.PRETRAINED True to start from its weights"
        )
    training.average.load_state_dict(content["average"])
