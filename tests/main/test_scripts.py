"""The commands of the README, as processes of their own: trained, stopped, killed, continued, judged."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parent.parent.parent
CONFIG = "configs/digits_lt/ce.yaml"


@pytest.fixture
def start(tmp_path):
    """Return a starter of shell scripts that train two short epochs of Digits-LT."""
    started = []

    def run(*command: str, name: str = "run", epochs: int = 2, torchrun: str = "--standalone") -> subprocess.Popen:
        overrides = ["OUTPUT_DIR", str(tmp_path), "NAME", name, "TRAIN.MAX_EPOCH", str(epochs), "SHOW_STEP", "1"]
        environment = {**os.environ, "PYTHON": sys.executable, "OMP_NUM_THREADS": "1", "TORCHRUN_ARGS": torchrun}
        process = subprocess.Popen(
            ["bash", *command, *overrides, "TRAIN.AMP", "off", "TRAIN.CHECKPOINT_MINUTES", "0"],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.wait()


def finish(process: subprocess.Popen, code: int = 0) -> str:
    output, _ = process.communicate(timeout=300)
    assert process.returncode == code, output
    return output


def only_run(folder: Path) -> Path:
    (path,) = folder.iterdir()
    return path


def weights(run: Path) -> dict[str, torch.Tensor]:
    return torch.load(run / "models" / "last.pth", weights_only=True)["model"]


def wait_for(process: subprocess.Popen, words: str) -> None:
    """Read what the process says until it says this."""
    for line in process.stdout:
        if words in line:
            return
    pytest.fail(f"the process ended without saying {words!r}")


def test_a_run_that_is_stopped_and_killed_ends_like_one_that_is_not(start, tmp_path):
    script = ["data_parallel_train.sh", CONFIG, "cpu"]
    finish(start(*script, name="whole"))

    process = start(*script, name="broken")
    wait_for(process, "epoch 1/2 batch 3/8")
    process.send_signal(signal.SIGTERM)
    output = finish(process, 128 + signal.SIGTERM)
    assert "stopped by SIGTERM; epoch 1, batch" in output
    assert "Traceback" not in output

    process = start(*script, "--resume", "auto", name="broken")
    wait_for(process, "epoch 2/2 batch 2/8")
    process.send_signal(signal.SIGKILL)
    process.wait()

    output = finish(start(*script, name="broken"))
    assert "going on from" in output
    whole, broken = only_run(tmp_path / "whole"), only_run(tmp_path / "broken")
    for name, value in weights(whole).items():
        assert torch.equal(value, weights(broken)[name]), name
    results = [json.loads((run / "results.json").read_text()) for run in (whole, broken)]
    assert results[0]["last"] == results[1]["last"]

    judge = [sys.executable, "main/valid.py", "--cfg", str(broken / "config.yaml"), "--gpus", "cpu"]
    told = subprocess.run(judge, cwd=ROOT, capture_output=True, text=True)
    assert told.returncode == 0, told.stderr
    assert "ensemble" in told.stdout
    (folder,) = (broken / "evaluation").iterdir()
    assert json.loads((folder / "results.json").read_text())["ensemble"] == results[1]["best"]["ensemble"]


def test_ctrl_c_before_training_is_quiet(start):
    process = start("data_parallel_train.sh", CONFIG, "cpu")
    time.sleep(1.5)  # Python has started, torch is being imported
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=120)
    assert process.returncode in (130, -signal.SIGINT), output
    assert output.count("\n") <= 1 or "is saved" in output


def test_a_mistake_is_told_in_one_line_with_code_2(start):
    output = finish(start("data_parallel_train.sh", "configs/absent.yaml", "cpu"), 2)
    assert output == "error: config file configs/absent.yaml does not exist\n"


@pytest.mark.parametrize("script", ["data_parallel_train.sh", "distributed_data_parallel_train.sh"])
def test_a_script_without_arguments_says_how_it_is_used(script):
    told = subprocess.run(["bash", script], cwd=ROOT, capture_output=True, text=True)
    assert told.returncode == 2
    assert f"bash {script} CONFIG" in told.stderr


def test_two_processes_train_one_run(start, tmp_path):
    output = finish(start("distributed_data_parallel_train.sh", CONFIG, "2", "cpu", name="two", epochs=1))
    assert "effective batch 64 (2 processes)" in output
    run = only_run(tmp_path / "two")
    state = torch.load(run / "models" / "last.pth", weights_only=True)
    assert len(state["random"]) == 2
    results = json.loads((run / "results.json").read_text())
    assert len((run / "metrics.jsonl").read_text().splitlines()) == 2
    judge = [sys.executable, "main/valid.py", "--cfg", str(run / "config.yaml"), "--gpus", "cpu"]
    assert subprocess.run(judge, cwd=ROOT, capture_output=True).returncode == 0
    (folder,) = (run / "evaluation").iterdir()
    assert json.loads((folder / "results.json").read_text())["ensemble"] == results["last"]["ensemble"]


def children(process: subprocess.Popen) -> list[int]:
    path = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    return [int(pid) for pid in path.read_text().split()]


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="finds the processes of torchrun in /proc")
def test_when_a_process_dies_the_others_say_so_and_a_restart_goes_on(start, tmp_path):
    script = ["distributed_data_parallel_train.sh", CONFIG, "2", "cpu", "TRAIN.BATCH_SIZE", "16"]
    finish(start(*script, name="whole", epochs=1))

    process = start(*script, name="broken", epochs=1, torchrun="--standalone --max-restarts 1")
    wait_for(process, "epoch 1/1 batch 3/8")
    os.kill(children(process)[-1], signal.SIGKILL)
    output = finish(process)
    assert output.count("error: process ") == 1
    assert "of 2 stopped: another process of the run is gone" in output
    assert "going on from" in output
    for name, value in weights(only_run(tmp_path / "whole")).items():
        assert torch.equal(value, weights(only_run(tmp_path / "broken"))[name]), name
