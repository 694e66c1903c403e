"""Folder of generated images: detecting complete and partial outputs, and outputs of other inputs.

The inputs (everything on which the images depend) are written before the first image, the annotation file after the
last. checksums.txt lists every image that was written, with its SHA-256; an image that is not listed, or has changed,
is generated again. The names of the images contain a digest of the inputs.
"""

import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from longtail.errors import UserError
from longtail.files import TEMPORARY, atomic_write, sha256_or
from longtail.output_folders import CONFIG, GENERATION
from longtail.runs.folder import LockedFolder, read_json
from longtail.user_files import translating

CHECKSUMS = "checksums.txt"


class GenerationFolder(LockedFolder):
    """A folder of generated images with the annotation file that lists them.

    Args:
        path: Folder; created by `claim`.
        target: Annotation file.
        inputs: Everything on which the images depend, as plain values.
        suffix: Suffix of the image files, which decides their format.
    """

    def __init__(self, path: Path, target: Path, *, inputs: dict[str, Any], suffix: str) -> None:
        super().__init__(path)
        self.target = target
        self.inputs = json.loads(json.dumps(inputs))  # as read back from the file
        self.suffix = suffix
        canonical = json.dumps(self.inputs, sort_keys=True)
        self.digest = hashlib.sha256(canonical.encode()).hexdigest()[:8]

    def file(self, k: int) -> Path:
        """Return the file of image k."""
        return self.path / f"{self.digest}_{k:06d}{self.suffix}"

    def finished(self, total: int) -> bool:
        """Return whether the annotation file and all images exist, unchanged.

        Raises:
            UserError: The annotation file was generated from other inputs.
        """
        if not self.target.exists():
            return False
        self._compare(self.target, _generation(self.target))
        return self.present() >= {self.file(k).name for k in range(total)}

    def claim(self, config: str) -> None:
        """Create the folder, or resume in it; take its lock.

        Args:
            config: Complete config, which is written to the folder.

        Raises:
            UserError: It holds other files, another process writes to it, or it cannot be written.
        """
        head = self.path / GENERATION
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self.target.parent.mkdir(parents=True, exist_ok=True)
            found = _generation(head)
            if found is not None:
                self._compare(head, found)
            elif any(not self._is_own(entry.name) for entry in os.scandir(self.path)):
                raise UserError(f"DATASET.CAM_DATA_SAVE_PATH {self.path} holds other files; use an empty folder")
            if not self.lock():
                raise UserError(f"another process is writing to DATASET.CAM_DATA_SAVE_PATH {self.path}")
            if found is None:
                (self.path / CONFIG).write_text(config, encoding="utf-8")
                self.write_json(GENERATION, {"generation": self.inputs})
        except OSError as error:
            raise UserError(f"{error.filename or self.path} cannot be written: {error.strerror}") from None

    def _is_own(self, name: str) -> bool:
        """Return whether a generation from these inputs writes a file of this name."""
        image = name.lstrip(".").startswith(f"{self.digest}_")
        return image or name in (".lock", CONFIG, GENERATION, CHECKSUMS) or bool(TEMPORARY.fullmatch(name))

    def present(self) -> set[str]:
        """Return the names of the images that exist unchanged."""
        return {name for name, digest in self._checksums().items() if sha256_or(self.path / name, "") == digest}

    def record(self, numbers: Iterable[int]) -> None:
        """Add written images to checksums.txt.

        Raises:
            OSError: It cannot be written.
        """
        # A line break first: it ends a line that was truncated by a kill.
        lines = [f"\n{sha256_or(self.file(k), 'lost')}  {self.file(k).name}" for k in numbers]
        with open(self.path / CHECKSUMS, "a", encoding="utf-8") as file:
            file.writelines(lines)

    def _checksums(self) -> dict[str, str]:
        """Return {name: SHA-256} of the images from these inputs; damaged lines are ignored."""
        try:
            lines = (self.path / CHECKSUMS).read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return {}
        pairs = (line.split("  ", 1) for line in lines if "  " in line)
        return {name: digest for digest, name in pairs if name.startswith(self.digest)}

    def finish(self, labels: list[int], sizes: list[tuple[int, int]], *, num_classes: int) -> None:
        """Write the annotation file, which marks the images as complete.

        Args:
            labels: Class of each image.
            sizes: Height and width of each image.
            num_classes: C.

        Raises:
            UserError: It cannot be written.
        """
        annotations = [
            {
                "image_id": k,
                "fpath": os.path.relpath(self.file(k), self.target.parent),
                "im_height": height,
                "im_width": width,
                "category_id": label,
            }
            for k, (label, (height, width)) in enumerate(zip(labels, sizes, strict=True))
        ]
        os.sync()  # the images are on the disk before the list that marks them as complete
        lines = ",\n".join(map(json.dumps, annotations))
        rest = json.dumps({"num_classes": num_classes, "generation": self.inputs})
        with translating(self.target, "annotation file"), atomic_write(self.target, "w") as file:
            file.write(f'{{"annotations": [\n{lines}\n],\n{rest[1:]}\n')

    def _compare(self, path: Path, found: dict[str, Any] | None) -> None:
        """Refuse files that were generated from other inputs."""
        if found == self.inputs:
            return
        if found is None:
            what = "was not generated by this project"
        else:
            keys = [key for key in {**self.inputs, **found} if self.inputs.get(key) != found.get(key)]
            shown = (f"{key} {_short(found.get(key))} instead of {_short(self.inputs.get(key))}" for key in keys)
            what = f"was generated from other inputs: {', '.join(shown)}"
        raise UserError(
            f"{path} {what}; delete {self.path} and {self.target} to generate the images again, or set other "
            "DATASET.CAM_DATA_SAVE_PATH and CAM_DATA_JSON_SAVE_PATH"
        )


def _generation(path: Path) -> dict[str, Any] | None:
    """Return the inputs recorded in a file; None if there are none."""
    content = read_json(path)
    found = content.get("generation") if isinstance(content, dict) else None
    return found if isinstance(found, dict) else None


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
