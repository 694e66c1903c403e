"""The comparison with other software: memory of processes, and a whole run at a tiny size."""

import os
import subprocess
import sys

import peers
import pytest
from served import family


def test_family_and_memory_of_a_process() -> None:
    code = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'print(1, flush=True); input()'])"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()  # of the child
        found = family(process.pid)
        assert found[0] == process.pid
        assert len(found) == 2
        assert process.pid in family(os.getpid())
        assert 1 < peers.megabytes(process.pid) < 100
        process.communicate(b"\n")


def test_peers_needs_a_batch(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        peers.main(["--images", "20"])
    assert "--images must be at least 128" in capsys.readouterr().err


@pytest.mark.slow
def test_peers_prints_a_line_for_each(capsys: pytest.CaptureFixture[str]) -> None:
    assert peers.main(["--images", "128", "--rounds", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:4]] == ["longtail", "torchvision", "timm"]
    assert "1.00 (1.00 to 1.00)" in lines[1]
