"""The run that a command names."""

from pathlib import Path

from longtail.runs.named import find_run


def test_find_run_prefers_what_a_calibration_has_chosen(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("")
    assert find_run(tmp_path) == (tmp_path, tmp_path / "config.yaml")
    (tmp_path / "calibrated.yaml").write_text("")
    assert find_run(str(tmp_path)) == (tmp_path, tmp_path / "calibrated.yaml")
    assert find_run(tmp_path / "config.yaml") == (tmp_path, tmp_path / "config.yaml")
    assert find_run("digits_lt,ce") == (Path(), "digits_lt,ce")
