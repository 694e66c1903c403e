"""Predict image files and write a table."""

import contextlib
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, NamedTuple

from torch import Tensor
from tqdm import tqdm

from longtail.errors import UserError
from longtail.files import atomic_write
from longtail.predicting.images import Decoded, decode, list_images
from longtail.predicting.tables import Columns, Row, write_csv, write_json
from longtail.predicting.trained import Trained
from longtail.user_files import is_folder, translating

FORMATS = (".csv", ".json")


class Outcome(NamedTuple):
    """Result of a prediction.

    Attributes:
        images: Number of images that were predicted.
        unreadable: Files that cannot be read.
    """

    images: int
    unreadable: list[Decoded]


def predict_files(
    trained: Trained,
    names: Sequence[str],
    *,
    output: str = "",
    top: int = 1,
    everything: bool = False,
    experts: bool = False,
) -> Outcome:
    """Predict images and write a table.

    Args:
        trained: Network.
        names: Image files, folders and lists, see `list_images`.
        output: File, .csv or .json; empty: CSV on standard output.
        top: Number of most probable classes to write.
        everything: Write the probabilities of all classes.
        experts: Write the most probable class of each expert.

    Returns:
        The number of images, and the files that cannot be read.

    Raises:
        UserError: The output has another suffix, a list cannot be read, or the network cannot take an image.
    """
    check_output(output)
    if top < 1:
        raise UserError(f"--top is {top}; it must be at least 1")
    paths = list_images(names)
    unreadable: list[Decoded] = []
    readable: list[str] = []

    def images() -> Iterator[Tensor]:
        decoded_images = decode(paths, trained.view, workers=trained.cfg.TEST.NUM_WORKERS)
        bar = tqdm(decoded_images, total=len(paths), unit="image", disable=None, leave=False)  # only on a terminal
        for decoded in bar:
            if decoded.view is None:
                unreadable.append(decoded)
            else:
                readable.append(decoded.path)
                yield decoded.view.clone()  # a worker's tensor keeps a file open

    def rows() -> Iterator[Row]:
        for number, prediction in enumerate(trained.predictions(images(), top=top)):
            yield readable[number], prediction

    columns = Columns(trained.class_names, top, everything, trained.experts if experts else 0)
    with _opened(output) as file:
        if output.lower().endswith(".json"):
            write_json(file, rows(), columns, checkpoint=str(trained.checkpoint), unreadable=unreadable)
        else:
            write_csv(file, rows(), columns)
    return Outcome(len(readable), unreadable)


def check_output(output: str) -> None:
    """Refuse an output that is not CSV or JSON, or whose folder does not exist.

    Raises:
        UserError: It is refused; the message names the allowed suffixes.
    """
    path = Path(output)
    if output and (path.suffix.lower() not in FORMATS or not is_folder(path.absolute().parent)):
        raise UserError(f"--output {output} must be a {' or '.join(FORMATS)} file in a folder that exists")


@contextlib.contextmanager
def _opened(output: str) -> Iterator[IO[str]]:
    """Within the block, write to a file atomically, or to standard output."""
    if not output:
        yield sys.stdout
        return
    with translating(output, "table"), atomic_write(output, "w") as file:
        yield file
