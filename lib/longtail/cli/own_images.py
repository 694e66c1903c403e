"""Folders and lists of images in place of a config."""

from collections.abc import Sequence
from pathlib import Path

from longtail.runs.named import find_run, is_run
from longtail.user_files import is_own_images


def with_own_images(source: str, overrides: Sequence[str], swept: Sequence[str] = ()) -> tuple[str, list[str]]:
    """Return config and overrides for a folder or list of images, or a run directory; another source unchanged.

    If there are few images, the overrides reduce the batch size and the learning rate, unless the user sets the former.

    Args:
        source: Config, folder, list or run directory.
        overrides: KEY, VALUE, ... of the user.
        swept: Keys that get other values later.
    """
    if is_run(source):
        return str(find_run(source)[1]), list(overrides)
    if not is_own_images(source):
        return source, list(overrides)
    from longtail.config import OWN_IMAGES, load_config

    own = ["DATASET.ROOT", source, "NAME", Path(source).resolve().stem, *overrides]
    cfg = load_config(OWN_IMAGES, own)  # a mistyped key is reported before torch is loaded
    if "TRAIN.BATCH_SIZE" in (*overrides[::2], *swept):
        return OWN_IMAGES, own

    from longtail.data.convert.own import fitting_settings

    return OWN_IMAGES, [*map(str, fitting_settings(cfg)), *own]
