"""The run that a command names. This module does not import torch, so that config errors are reported at once."""

from pathlib import Path

from longtail.errors import UserError
from longtail.output_folders import CONFIG
from longtail.user_files import is_file, is_folder

CALIBRATED = "calibrated.yaml"  # the config with the values chosen by a calibration


def find_run(source: str | Path) -> tuple[Path, str | Path]:
    """Return the folder and the config of a run that a user names.

    Args:
        source: Run directory, or a config as in `load_config`. The config of a directory with a calibration is
            calibrated.yaml.

    Raises:
        UserError: It is a folder, but not a run directory.
    """
    folder = Path(source)
    if not is_folder(folder):
        return folder.parent, source
    configs = _configs_in(folder)
    if not configs:
        inside = sorted(path.parent for path in folder.glob(f"*/{CONFIG}"))
        hint = f"; name a folder in it, such as {inside[-1]}" if inside else ""
        raise UserError(f"{source} is not a run directory: it has no {CONFIG}{hint}")
    return folder, configs[0]


def is_run(source: str | Path) -> bool:
    """Return whether a path is that of a run directory."""
    return bool(_configs_in(Path(source)))


def _configs_in(folder: Path) -> list[Path]:
    return [folder / name for name in (CALIBRATED, CONFIG) if is_file(folder / name)]
