"""Records of trainings with released code, from its log."""

import re
from collections.abc import Mapping
from typing import Any

from longtail.errors import UserError
from tools.results_page.records import Record

EPOCH = re.compile(r"---Epoch:\s*(\d+)/(\d+) .*Epoch_Time:\s*([\d.]+)min---")
VALID = re.compile(r"Valid: Epoch:\s*(\d+) .*Valid_Acc:\s*([\d.]+)%")


def released_record(log: str, facts: Mapping[str, Any]) -> Record:
    """Return the record of a training with the code of Bag of Tricks.

    Args:
        log: Text of its log files, in their order; epochs that were trained again after an interruption count once.
        facts: Fields of `Record` that the log does not tell: config, seed, images, code and so on.

    Raises:
        UserError: No epoch is finished.
    """
    epochs = {int(number): (int(of), float(minutes)) for number, of, minutes in EPOCH.findall(log)}
    accuracies = {int(number): round(float(percent) / 100, 6) for number, percent in VALID.findall(log)}
    if not epochs:
        raise UserError("the released code has not finished an epoch")
    reached = max(epochs)
    best = max(accuracies, key=lambda epoch: accuracies[epoch], default=None)
    return Record(
        **facts,
        stage="",
        epochs=epochs[reached][0],
        reached=reached,
        last={"top1": accuracies[reached]} if reached in accuracies else {},
        best={"epoch": best, "top1": accuracies[best]} if best else {},
        hours=round(sum(minutes for _, minutes in epochs.values()) / 60, 3),
    )
