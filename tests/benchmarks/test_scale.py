"""The measurement of growth runs at tiny sizes."""

import pytest
import scale


@pytest.mark.slow
def test_scale_measures_every_size(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scale, "DRAWN", 1000)
    assert scale.main(["--annotations", "300", "600", "--classes", "10", "20"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "300" in lines[0]
    assert "600" in lines[0]
    names = [line[:34].strip() for line in lines]
    assert {"read annotations", "resume in an epoch, to its batch", "shot groups and all metrics"} <= set(names)
    assert all(line.split()[-1] != "nan" for line in lines)
