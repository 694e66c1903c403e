"""Distillation: a trained network of the same architecture is the teacher."""

import copy
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn
from yacs.config import CfgNode

from longtail.data import Batch
from longtail.errors import UserError
from longtail.losses import Loss
from longtail.methods.base import Method, Step, TrainingData, loss_terms, stacked_views
from longtail.methods.registry import register
from longtail.models import Output, check_finite, load_released_weights, read_weights

KEY = "TRAIN.COMBINER.DIVE.TEACHER_MODEL"


class Distillation(Method):
    """Each expert minimizes a loss on the labels and on the logits of the teacher's expert of the same index.

    DiVE, He et al., arXiv 2103.15042. The teacher is in evaluation mode and gets no gradient. Its weights come from a
    file, so neither the `state_dict` nor checkpoints contain them: a resumed run needs the file again.

    Args:
        network: Student.
        loss: Loss that takes a teacher.
        teacher: Network of the student's architecture, on its device.
    """

    teacher: Callable[..., Output]

    def __init__(self, network: nn.Module, loss: Loss, *, teacher: nn.Module) -> None:
        super().__init__(network, loss)
        self.__dict__["teacher"] = teacher.eval().requires_grad_(False)  # not a submodule, so that `train` skips it

    def training_step(self, batch: Batch) -> Step:
        """Return the step of a batch."""
        images, targets = stacked_views(batch)
        with torch.no_grad():
            teacher_logits = self.teacher(images).logits
        output = self.network(images)
        terms = loss_terms(self.loss, output, targets=targets, teacher_logits=teacher_logits)
        return Step.of(terms, output, targets=targets)

    def wrap(self, wrap: Callable[[nn.Module], nn.Module]) -> None:
        """Wrap the student, and the teacher for DataParallel; DistributedDataParallel only serves gradients."""
        super().wrap(wrap)
        if isinstance(self.network, nn.DataParallel):
            self.__dict__["teacher"] = wrap(self.__dict__["teacher"])


def build_teacher(student: nn.Module, path: str) -> nn.Module:
    """Return a copy of the student with the weights of a file.

    Args:
        student: On its device.
        path: Checkpoint of this project, of Bag of Tricks or of NCL.

    Raises:
        UserError: The file is missing or damaged, does not fit, lacks weights, or holds infinite or NaN ones.
    """
    teacher = copy.deepcopy(student)
    weights = read_weights(path)
    try:
        report = load_released_weights(teacher, weights)
    except UserError as error:
        raise UserError(f"{KEY} {path}: {error}") from None
    missing = [name for name in report.missing if not name.endswith("num_batches_tracked")]  # torch 0.4 had none
    if missing:
        raise UserError(
            f"{KEY} {path} lacks {len(missing)} of the network's weights, such as {missing[0]}; it must be a network "
            "of the student's architecture"
        )
    check_finite(path, teacher.state_dict())
    return teacher


def check(cfg: CfgNode) -> None:
    """Refuse a config without the file of a teacher.

    Raises:
        UserError: It is missing.
    """
    path = cfg.TRAIN.COMBINER.DIVE.TEACHER_MODEL
    if not Path(path).is_file():
        what = f"is {path!r}, which is not a file" if path else "is empty"
        raise UserError(
            f"{KEY} {what}; TRAIN.COMBINER.TYPE {cfg.TRAIN.COMBINER.TYPE} needs the checkpoint of a teacher"
        )


@register("distillation", check=check, files=(KEY,), repeatable=True)
def build(cfg: CfgNode, network: nn.Module, loss: Loss, data: TrainingData) -> Distillation:
    """Build the method from TRAIN.COMBINER.DIVE, for losses that take a teacher."""
    if not loss.needs_teacher:
        raise UserError(
            f"LOSS.LOSS_TYPE {cfg.LOSS.LOSS_TYPE} does not use a teacher; TRAIN.COMBINER.TYPE "
            f"{cfg.TRAIN.COMBINER.TYPE} needs DiVEKLD"
        )
    return Distillation(network, loss, teacher=build_teacher(network, cfg.TRAIN.COMBINER.DIVE.TEACHER_MODEL))
