"""How images are packed."""

from dataclasses import asdict, dataclass
from typing import Any

FORMATS = ("jpeg", "uint8")


@dataclass(frozen=True)
class Settings:
    """How images are packed; a folder holds images of one setting only.

    Attributes:
        side: Shorter side in pixels; smaller images keep their size.
        quality: Quality of the JPEG files, 1..100.
        format: One of `FORMATS`.
    """

    side: int = 256
    quality: int = 95
    format: str = "jpeg"

    def record(self) -> dict[str, Any]:
        """Return the settings that determine the content of a folder."""
        unused = "format" if self.format == "jpeg" else "quality"  # folders of JPEG files never named their format
        return {name: value for name, value in asdict(self).items() if name != unused}
