"""The image files that the processes of a run have skipped."""

from longtail.data.images.bad_images import BadImages
from longtail.distributed import gather_to_all


def share_bad_images(bad: BadImages | None) -> None:
    """Add the files that any process has skipped to those of every process."""
    if bad is not None:
        for files in gather_to_all(sorted(bad.files)):
            bad.merge(files)
