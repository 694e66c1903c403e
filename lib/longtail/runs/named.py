"""The run that a command names. This module does not import torch, so that config errors are reported at once."""

from pathlib import Path

from longtail.output_folders import CONFIG
from longtail.user_files import is_file, is_folder

CALIBRATED = "calibrated.yaml"  # the config with the values chosen by a calibration


def find_run(source: str | Path) -> tuple[Path, str | Path]:
    """Return the folder and the config of a run that a user names.

    Args:
        source: Run directory, or a config as in `load_config`. The config of a directory with a calibration is
            calibrated.yaml.
    """
    folder = Path(source)
    if not is_folder(folder):
        return folder.parent, source
    calibrated = folder / CALIBRATED
    return folder, calibrated if is_file(calibrated) else folder / CONFIG
