"""Curves for TensorBoard, in one event file."""

from pathlib import Path

from longtail.runs.directory import RunDirectory
from longtail.runs.loggers.base import LOGGERS, Record
from longtail.runs.loggers.curves import curves
from longtail.user_files import translating


class TensorBoard:
    """Writes loss, accuracy, learning rate and gradient norm as an event file.

    The file is written synchronously: the usual writer of tensorboardX passes events to a thread, and waits forever if
    a full disk has ended that thread.

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


@LOGGERS.register("tensorboard")
def build(run: RunDirectory, epoch: int) -> TensorBoard:
    """Build the logger of the folder tensorboard/."""
    return TensorBoard(run.path / "tensorboard", epoch)
