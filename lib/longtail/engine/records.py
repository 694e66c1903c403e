"""What a run writes down as it goes: metrics.jsonl and the curves for TensorBoard."""

import json
from pathlib import Path
from typing import Any

from longtail.engine.run_directory import RunDirectory
from longtail.files import atomic_write


class Records:
    """One object per epoch and split, kept in memory and in metrics.jsonl, and the TensorBoard curves.

    Args:
        run: where to write.
        tensorboard: also write TensorBoard's event files.
        epoch: the first epoch (from 1) that will be written; whatever an interrupted process wrote from it on is
            dropped, so that no epoch is listed twice.
    """

    def __init__(self, run: RunDirectory, tensorboard: bool, epoch: int = 1) -> None:
        self.path = run.metrics
        self.history = [record for record in read_history(self.path) if record["epoch"] < epoch]
        with atomic_write(self.path, "w") as file:
            file.writelines(json.dumps(record) + "\n" for record in self.history)
        self._writer: Any = None
        if tensorboard:
            from tensorboardX import SummaryWriter

            self._writer = SummaryWriter(str(run.path / "tensorboard"), purge_step=epoch)

    def add(self, record: dict[str, Any]) -> None:
        """Append a record with "epoch" and "split" ("train" or "valid")."""
        self.history.append(record)
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
        if self._writer is None:
            return
        epoch, split = record["epoch"], record["split"]
        accuracy = record["top1"] if split == "train" else record["ensemble"].get("top1")
        if accuracy is not None:
            self._writer.add_scalars("scalar/acc", {f"{split}_acc": accuracy}, epoch)
        if "loss" in record:
            self._writer.add_scalars("scalar/loss", {f"{split}_loss": record["loss"]}, epoch)
        if "lr" in record:
            self._writer.add_scalar("scalar/lr", record["lr"], epoch)
        self._writer.flush()

    def close(self) -> None:
        """Close the event files."""
        if self._writer is not None:
            self._writer.close()


def read_history(path: Path) -> list[dict[str, Any]]:
    """Read metrics.jsonl; a last line cut short by a kill is left out."""
    if not path.exists():
        return []
    records = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return records
