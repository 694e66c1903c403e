"""Replacement of the root folder of the image paths in an annotation file, for images that have moved."""

import logging
import os
from pathlib import Path

from longtail.data.annotations import load_annotations
from longtail.data.convert.presence import check_images
from longtail.data.convert.split import write_annotations
from longtail.errors import UserError
from longtail.user_files import check_path

logger = logging.getLogger(__name__)


def replace_path(json_file: str | Path, find_root: str, *, replaces_to: str, check: bool = True) -> int:
    """Replace the leading folder of image paths, in the file itself; all other content is kept.

    A path matches if it is below `find_root`: /data/a matches /data/a/1.jpg, but not /data/ab/1.jpg.

    Args:
        json_file: Annotation file.
        find_root: Folder to replace.
        replaces_to: New folder; empty: paths become relative.
        check: Check that the images of the changed paths exist.

    Returns:
        Number of paths that matched.

    Raises:
        UserError: The file is invalid, no path matches, or images do not exist; the file is not changed.
    """
    if not find_root:
        raise UserError("-f/--find_root is empty; it must be the folder that paths begin with")
    check_path(replaces_to, "-r/--replaces_to")
    content = load_annotations(json_file)
    entries = content["annotations"]
    old = os.path.join(find_root, "")
    new = os.path.join(replaces_to, "") if replaces_to else ""
    matching = [entry for entry in entries if entry["fpath"].startswith(old)]
    others = [entry["fpath"] for entry in entries if not entry["fpath"].startswith(old)]
    if not matching:
        raise UserError(f"{json_file}: none of {len(entries):,} paths begins with {old}; {_common_root(entries)}")
    for entry in matching:
        rest = entry["fpath"][len(old) :]
        if not rest:
            raise UserError(
                f"{json_file}: the path {entry['fpath']} is the folder -f/--find_root itself, not an image in it"
            )
        entry["fpath"] = new + rest
    if check:
        folder = Path(json_file).parent
        check_images([os.path.join(folder, entry["fpath"]) for entry in matching], str(json_file))
    write_annotations(json_file, content)
    logger.info(
        "%s: %s of %s paths now begin with %s", json_file, f"{len(matching):,}", f"{len(entries):,}", new or "."
    )
    if others:
        logger.warning("  WARNING: %s paths did not match, the first is %s", f"{len(others):,}", others[0])
    return len(matching)


def _common_root(entries: list[dict[str, str]]) -> str:
    """Describe the folder that all paths begin with."""
    paths = [entry["fpath"] for entry in entries]
    try:
        common = os.path.commonpath([os.path.dirname(path) for path in paths])
    except ValueError:  # absolute and relative paths
        common = ""
    return f"all begin with {common}/" if common else f"the first is {paths[0]}"
