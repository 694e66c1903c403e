"""Curves for TensorBoard, in one event file."""

import math
from pathlib import Path

from longtail.runs.directory import RunDirectory
from longtail.runs.loggers.base import LOGGERS, Record
from longtail.user_files import translating


class TensorBoard:
    """Writes loss, accuracy, learning rate and gradient norm as an event file.

    The file is written at once: the usual writer of tensorboardX hands events to a thread, and waits for ever if a full
    disk has ended that thread.

    Args:
        folder: Folder of the event files.
        epoch: First epoch that will be written; later points of a stopped process are dropped.
    """

    def __init__(self, folder: Path, epoch: int) -> None:
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto.event_pb2 import Event, SessionLog

        self.folder = folder
        with translating(folder, "folder"):
            folder.mkdir(exist_ok=True)
            self.writer = EventsWriter(str(folder / "events"))
            restart = SessionLog(status=SessionLog.START)  # TensorBoard drops the points from this step on
            self.writer.write_event(Event(step=epoch, session_log=restart))

    def write(self, record: Record) -> None:
        """Write the curves of a record."""
        from tensorboardX.proto.event_pb2 import Event
        from tensorboardX.summary import scalar

        with translating(self.folder, "folder"):
            for tag, value in curves(record).items():
                self.writer.write_event(Event(step=record["epoch"], summary=scalar(tag, value)))
            self.writer.flush()

    def close(self) -> None:
        """Close the event file."""
        with translating(self.folder, "folder"):
            self.writer.close()


def curves(record: Record) -> dict[str, float]:
    """Return {tag: value} of the finite numbers in a record."""
    split = record["split"]
    values = {f"{key}/{split}": value for key, value in record.items() if isinstance(value, (int, float))}
    values.pop(f"epoch/{split}", None)
    for name, accuracy in record.get("ensemble", {}).items():
        values[f"ensemble/{name}"] = accuracy
    for number, expert in enumerate(record.get("experts", ()), start=1):
        values[f"experts/{number}"] = expert.get("top1", math.nan)
    for name, recall in record.get("recall", {}).items():
        values[f"recall/{name}"] = recall
    return {tag: float(value) for tag, value in values.items() if math.isfinite(value)}


@LOGGERS.register("tensorboard")
def build(run: RunDirectory, epoch: int) -> TensorBoard:
    """Build the logger of the folder tensorboard/."""
    return TensorBoard(run.path / "tensorboard", epoch)
