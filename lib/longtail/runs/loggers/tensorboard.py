"""Curves for TensorBoard."""

from longtail.runs.directory import RunDirectory
from longtail.runs.loggers.base import LOGGERS, Record


class TensorBoard:
    """Writes accuracy, loss and learning rate as event files.

    Args:
        folder: Folder of the event files.
        epoch: First epoch that will be written; later points of an earlier process are purged.
    """

    def __init__(self, folder: str, epoch: int) -> None:
        from tensorboardX import SummaryWriter

        self.writer = SummaryWriter(folder, purge_step=epoch)

    def write(self, record: Record) -> None:
        """Write the curves of a record."""
        epoch, split = record["epoch"], record["split"]
        accuracy = record["top1"] if split == "train" else record["ensemble"].get("top1")
        if accuracy is not None:
            self.writer.add_scalars("scalar/acc", {f"{split}_acc": accuracy}, epoch)
        if "loss" in record:
            self.writer.add_scalars("scalar/loss", {f"{split}_loss": record["loss"]}, epoch)
        if "lr" in record:
            self.writer.add_scalar("scalar/lr", record["lr"], epoch)
        self.writer.flush()

    def close(self) -> None:
        """Close the event files."""
        self.writer.close()


@LOGGERS.register("tensorboard")
def build(run: RunDirectory, epoch: int) -> TensorBoard:
    """Build the logger of the folder tensorboard/."""
    return TensorBoard(str(run.path / "tensorboard"), epoch)
