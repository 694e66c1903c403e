"""The run that a command names."""

from pathlib import Path

import pytest

from longtail.errors import UserError
from longtail.runs.named import find_run, is_run


def test_find_run_prefers_what_a_calibration_has_chosen(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("")
    assert find_run(tmp_path) == (tmp_path, tmp_path / "config.yaml")
    (tmp_path / "calibrated.yaml").write_text("")
    assert find_run(str(tmp_path)) == (tmp_path, tmp_path / "calibrated.yaml")
    assert find_run(tmp_path / "config.yaml") == (tmp_path, tmp_path / "config.yaml")
    assert find_run("digits_lt,ce") == (Path(), "digits_lt,ce")


def test_folder_of_runs_is_refused_with_the_name_of_one(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=rf"^{tmp_path} is not a run directory: it has no config.yaml$"):
        find_run(tmp_path)
    for name in ("2026-01-31", "2026-02-01"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.yaml").touch()
    with pytest.raises(UserError, match=rf"; name a folder in it, such as {tmp_path}/2026-02-01$"):
        find_run(str(tmp_path))
    assert is_run(tmp_path / "2026-02-01") and not is_run(tmp_path)
