"""Distillation: a trained network of the same form teaches."""

import copy
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn
from yacs.config import CfgNode

from longtail.config import method_name
from longtail.data import Batch
from longtail.errors import UserError
from longtail.losses import Loss
from longtail.methods.base import METHODS, Method, Step, expert_terms, stacked_views
from longtail.models import Output, load_released_weights, read_weights


class Distillation(Method):
    """Every expert minimises a loss on the labels and on the logits of the teacher's expert of its number.

    DiVE, He et al., arXiv 2103.15042. The teacher is in evaluation mode and gets no gradient. Its weights are those of
    a file, so they are not in the `state_dict`, nor in checkpoints: to go on, a run needs that file again.

    Args:
        network: the student; may be wrapped for several devices.
        loss: one that takes a teacher.
        teacher: a network of the student's form, on its devices.
    """

    teacher: Callable[..., Output]

    def __init__(self, network: nn.Module, loss: Loss, teacher: nn.Module) -> None:
        super().__init__(network, loss)
        self.__dict__["teacher"] = teacher.eval().requires_grad_(False)  # not a submodule: `train` leaves it alone

    def training_step(self, batch: Batch) -> Step:
        """Return the step, see `Method.training_step`."""
        images, targets = stacked_views(batch)
        with torch.no_grad():
            teacher_logits = self.teacher(images).logits
        output = self.network(images)
        terms = expert_terms(self.loss, output, targets, teacher_logits)
        loss = torch.stack(list(terms.values())).sum()
        return Step(loss, output.logits.detach(), targets, {name: term.detach() for name, term in terms.items()})


def build_teacher(network: nn.Module, path: str) -> nn.Module:
    """Return a copy of a network with the weights of a file.

    Args:
        network: the student, on its device. Wrapped by DataParallel its copy is so too; DistributedDataParallel, which
            is about gradients, is left off.
        path: checkpoint of this project, of Bag of Tricks or of NCL.

    Raises:
        UserError: the file is missing or damaged, does not fit, or lacks some of the weights.
    """
    student = getattr(network, "module", network)
    teacher = copy.deepcopy(network if isinstance(network, nn.DataParallel) else student)
    weights = read_weights(path)
    try:
        report = load_released_weights(getattr(teacher, "module", teacher), weights)
    except UserError as error:
        raise UserError(f"TRAIN.COMBINER.DIVE.TEACHER_MODEL {path}: {error}") from None
    missing = [name for name in report.missing if not name.endswith("num_batches_tracked")]  # torch 0.4 had none
    if missing:
        raise UserError(
            f"TRAIN.COMBINER.DIVE.TEACHER_MODEL {path} lacks {len(missing)} of the network's weights, such as "
            f"{missing[0]}; it must be a network of the student's form"
        )
    return teacher


def check_teacher(cfg: CfgNode) -> None:
    """Refuse a tree that asks for distillation and names no teacher.

    Raises:
        UserError: says what is missing.
    """
    if method_name(cfg) != "distillation":
        return
    path = cfg.TRAIN.COMBINER.DIVE.TEACHER_MODEL
    if not Path(path).is_file():
        what = f"is {path!r}, which is no file" if path else "is empty"
        raise UserError(
            f"TRAIN.COMBINER.DIVE.TEACHER_MODEL {what}; TRAIN.COMBINER.TYPE {cfg.TRAIN.COMBINER.TYPE} needs the "
            "checkpoint of a teacher"
        )


@METHODS.register("distillation")
def build(cfg: CfgNode, network: nn.Module, loss: Loss) -> Distillation:
    """Build it from TRAIN.COMBINER.DIVE, for losses that take a teacher."""
    check_teacher(cfg)
    if not loss.needs_teacher:
        raise UserError(
            f"LOSS.LOSS_TYPE {cfg.LOSS.LOSS_TYPE} takes no teacher; with TRAIN.COMBINER.TYPE "
            f"{cfg.TRAIN.COMBINER.TYPE} it must be DiVEKLD"
        )
    return Distillation(network, loss, build_teacher(network, cfg.TRAIN.COMBINER.DIVE.TEACHER_MODEL))
