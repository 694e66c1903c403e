"""The part of a checkpoint that holds the state of what is trained: network, method, optimizer, scaler and average."""

from typing import Any

from longtail.engine.training import Training
from longtail.errors import UserError


def training_state(training: Training) -> dict[str, Any]:
    """Return the state of everything that a step changes."""
    return {
        "model": training.network.state_dict(),
        "method": training.method.state_dict(),
        "optimizer": training.optimizer.state_dict(),
        "scaler": training.scaler.state_dict(),
        **({"average": training.average.state_dict()} if training.average else {}),
    }


def restore_training(training: Training, content: dict[str, Any]) -> None:
    """Set the state of a training from that of a checkpoint.

    Raises:
        UserError: The state of network, method or optimizer does not fit, or there is no average of the weights.
    """
    try:
        training.network.load_state_dict(content["model"])
        training.method.load_state_dict(content["method"])
        training.optimizer.load_state_dict(content["optimizer"])
    except (RuntimeError, ValueError, KeyError) as error:
        reason = " ".join(str(error).split())[:300]  # torch puts the reason after the first line
        raise UserError(
            "the checkpoint was written by another network, training method or optimizer and cannot be resumed: "
            f"{reason}; to start from its weights set NETWORK.PRETRAINED True"
        ) from None
    training.scaler.load_state_dict(content["scaler"])
    if not training.average:
        return
    if "average" not in content:
        raise UserError(
            "the checkpoint has no average of the weights and cannot be resumed with TRAIN.EMA.DECAY; set it to 0, or "
            "set NETWORK.PRETRAINED True to start from its weights"
        )
    training.average.load_state_dict(content["average"])
