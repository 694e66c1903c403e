"""The run that a command names. Does not import torch, so that a mistake in the config is reported at once."""

from pathlib import Path

from longtail.user_files import is_file, is_folder

CONFIG = "config.yaml"  # the complete config of a run
CALIBRATED = "calibrated.yaml"  # the same with what a calibration has chosen


def find_run(source: str | Path) -> tuple[Path, str | Path]:
    """Return the folder and the config of a run that a user names.

    Args:
        source: Run directory, or a config as `load_config` takes it. A directory with a calibration gives
            calibrated.yaml.
    """
    folder = Path(source)
    if not is_folder(folder):
        return folder.parent, source
    calibrated = folder / CALIBRATED
    return folder, calibrated if is_file(calibrated) else folder / CONFIG
