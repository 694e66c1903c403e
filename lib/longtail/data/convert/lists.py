"""Split lists as Liu et al. (arXiv 1904.05160) publish them: one "path label" per line."""

import logging
import os
from pathlib import Path

from longtail.data.convert.presence import check_images
from longtail.data.convert.split import Split, refuse_overwriting, write_split
from longtail.data.convert.summary import tell
from longtail.errors import UserError, faults_in

logger = logging.getLogger(__name__)

OUTPUTS = {"train": "train.json", "val": "valid.json", "test": "test.json"}  # the names in configs/_base_


def read_list(path: str | Path, image_path: str | Path, num_classes: int) -> Split:
    """Read a split list.

    Args:
        path: text file with one "path label" per line; the path may hold spaces.
        image_path: folder that the paths start from.
        num_classes: C; labels are 0 to C - 1.

    Raises:
        UserError: the file cannot be read or is empty, or lines are wrong; names the first ten.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        raise UserError(f"split list {path} does not exist") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"split list {path} cannot be read: {error}") from None
    paths: list[str] = []
    labels: list[int] = []
    faults: list[str] = []
    for number, line in enumerate(lines, 1):
        parts = line.rsplit(maxsplit=1)
        if not parts:
            continue
        if len(parts) != 2 or not parts[1].isdecimal() or int(parts[1]) >= num_classes:
            faults.append(f"line {number} is {line.strip()[:80]!r}; expected: path label, label 0 to {num_classes - 1}")
            continue
        paths.append(os.path.join(image_path, parts[0].lstrip()))
        labels.append(int(parts[1]))
    if faults:
        raise faults_in(f"split list {path}", faults)
    if not paths:
        raise UserError(f"split list {path} lists no images")
    return Split(paths, labels, num_classes)


def convert_lists(
    stem: str,
    name: str,
    num_classes: int,
    input_path: str | Path,
    image_path: str | Path,
    output_path: str | Path,
    check: bool = True,
    force: bool = False,
) -> None:
    """Turn <stem>_train.txt, <stem>_val.txt and <stem>_test.txt into annotation files.

    A list that is not there is passed over. Nothing is written before all lists and images are found good.

    Args:
        stem: how the names of the lists begin.
        name: of the data set in the published table.
        num_classes: C.
        input_path: folder of the lists.
        image_path: folder that the paths in them start from.
        output_path: folder of the annotation files, train.json, valid.json and test.json.
        check: whether to look for every image.
        force: whether to replace files.

    Raises:
        UserError: there is no list at all, one is wrong, images do not exist, or a file would be overwritten.
    """
    sources = {split: Path(input_path) / f"{stem}_{split}.txt" for split in OUTPUTS}
    there = {split: source for split, source in sources.items() if source.exists()}
    if not there:
        raise UserError(f"{input_path} holds none of {', '.join(source.name for source in sources.values())}")
    outputs = {split: Path(output_path) / OUTPUTS[split] for split in there}
    for output in outputs.values():
        refuse_overwriting(output, force)
    contents = {split: read_list(source, image_path, num_classes) for split, source in there.items()}
    if check:
        for split, content in contents.items():
            check_images(content.paths, str(there[split]))
    for split, content in contents.items():
        write_split(outputs[split], content)
        tell(outputs[split], content, f"{name} {split}")
    for split, source in sources.items():
        if split not in there:
            logger.info("%s is not there: no %s", source, OUTPUTS[split])
