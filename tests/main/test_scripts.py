"""The commands of the README in separate processes: trained, stopped, killed, resumed, evaluated."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from longtail.checkpoint_file import read_checkpoint
from tests.helpers.scripts import ROOT, load_script
from tests.helpers.training import read_json

CONFIG = "cifar10_im100_json,ce"
Start = Callable[..., "subprocess.Popen[str]"]
PRINT_THREADS = """
import atexit, os, pathlib
def show():
    print("threads at exit:", *[file.read_text().strip() for file in pathlib.Path("/proc/self/task").glob("*/comm")])
if "RANK" in os.environ:
    atexit.register(show)
"""


@pytest.fixture
def start(tmp_path: Path, image_folder: Callable[..., str]) -> Iterator[Start]:
    """Return a starter of shell scripts that train short epochs of 256 tiny images."""
    started = []
    small = [
        *("DATASET.TRAIN_JSON", image_folder("train", [n % 10 for n in range(256)], 10)),
        *("DATASET.VALID_JSON", image_folder("valid", [n % 10 for n in range(20)], 10)),
        *("INPUT_SIZE", "[8, 8]", "TRAIN.OPTIMIZER.BASE_LR", "0.01", "TRAIN.AMP", "off"),
        *("SHOW_STEP", "1", "TRAIN.CHECKPOINT_MINUTES", "0"),
    ]

    def run(
        *command: str, name: str = "run", epochs: int = 2, batch: int = 32, torchrun: str = "--standalone"
    ) -> "subprocess.Popen[str]":
        overrides = ["OUTPUT_DIR", str(tmp_path), "NAME", name, "TRAIN.MAX_EPOCH", str(epochs)]
        overrides += ["TRAIN.BATCH_SIZE", str(batch)]
        environment = {**os.environ, "PYTHON": sys.executable, "OMP_NUM_THREADS": "1", "TORCHRUN_ARGS": torchrun}
        process = subprocess.Popen(
            ["bash", *command, *small, *overrides],
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


def finish(process: "subprocess.Popen[str]", code: int = 0) -> str:
    output, _ = process.communicate(timeout=300)
    assert process.returncode == code, output
    return output


def only_run(folder: Path) -> Path:
    (path,) = folder.iterdir()
    return path


def weights(run: Path) -> dict[str, Tensor]:
    model: dict[str, Tensor] = read_checkpoint(run / "models" / "last.pth")["model"]
    return model


def wait_for(process: "subprocess.Popen[str]", words: str) -> None:
    """Read the output of a process until a line has these words."""
    assert process.stdout is not None
    for line in process.stdout:
        if words in line:
            return
    pytest.fail(f"the process ended without the words {words!r}")


def evaluation_of(run: Path, *command: str) -> Any:
    """Evaluate a run with a command; return its results of the ensemble."""
    ended = subprocess.run([sys.executable, *command, "--gpus", "cpu"], cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert "ensemble" in ended.stdout
    (folder,) = (run / "evaluation").iterdir()
    return read_json(folder / "results.json")["ensemble"]


def damage(path: Path) -> None:
    """Flip a bit in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.slow
def test_stopped_damaged_and_killed_run_ends_as_one_that_was_not(start: Start, tmp_path: Path) -> None:
    script = ["data_parallel_train.sh", CONFIG, "cpu"]
    finish(start(*script, name="whole"))

    process = start(*script, name="broken")
    wait_for(process, "epoch 1/2 batch 4/8")
    process.send_signal(signal.SIGTERM)
    output = finish(process, 128 + signal.SIGTERM)
    assert "stopped by SIGTERM; epoch 1, batch" in output
    assert "Traceback" not in output

    models = only_run(tmp_path / "broken") / "models"
    damage(models / "last.pth")
    refused = finish(start(*script, "--resume", str(models / "last.pth"), name="broken"), 2)
    assert refused.startswith(f"error: checkpoint {models}/last.pth is damaged: ") and refused.count("\n") == 1
    assert f"; {models}/previous.pth is intact: train with --resume {models}/previous.pth, or" in refused

    process = start(*script, "--resume", "auto", name="broken")
    wait_for(process, f"{models}/last.pth is damaged or lost; resuming from an older checkpoint of the run")
    wait_for(process, "epoch 2/2 batch 2/8")
    process.send_signal(signal.SIGKILL)
    process.wait()

    assert "resuming from" in finish(start(*script, name="broken"))
    whole, broken = only_run(tmp_path / "whole"), only_run(tmp_path / "broken")
    for name, value in weights(whole).items():
        assert torch.equal(value, weights(broken)[name]), name
    results = [read_json(run / "results.json") for run in (whole, broken)]
    assert results[0]["last"] == results[1]["last"]
    assert evaluation_of(broken, "-m", "longtail", "valid", str(broken)) == results[1]["best"]["ensemble"]


@pytest.mark.slow
def test_ctrl_c_before_training_is_quiet(start: Start) -> None:
    process = start("data_parallel_train.sh", CONFIG, "cpu")
    time.sleep(1.5)  # Python has started, torch is being imported
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=120)
    assert process.returncode in (130, -signal.SIGINT), output
    assert output.count("\n") <= 1 or "is saved" in output


@pytest.mark.slow
def test_user_error_is_one_line_with_code_2(start: Start) -> None:
    output = finish(start("data_parallel_train.sh", "configs/absent.yaml", "cpu"), 2)
    assert output == "error: config file configs/absent.yaml does not exist\n"


@pytest.mark.parametrize("script", ["data_parallel_train.sh", "distributed_data_parallel_train.sh"])
def test_script_without_arguments_shows_its_usage(script: str) -> None:
    ended = subprocess.run(["bash", script], cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 2
    assert f"bash {script} CONFIG" in ended.stderr


@pytest.mark.slow
@pytest.mark.parametrize("name", ["train", "valid"])
def test_docstring_of_a_script_is_its_help(name: str) -> None:
    ended = subprocess.run([sys.executable, f"main/{name}.py", "--help"], cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 0
    for line in str(load_script(f"main/{name}.py").__doc__).splitlines():
        assert line in ended.stdout


def test_list_of_configs() -> None:
    ended = subprocess.run([sys.executable, "main/train.py", "--list"], cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 0 and "digits_lt" in ended.stdout


def children(process: "subprocess.Popen[str]") -> list[int]:
    path = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    return [int(pid) for pid in path.read_text().split()]


def check_threads_at_exit(output: str) -> None:
    """Check that no thread of a process group is left: it can abort its process."""
    lines = [line for line in output.splitlines() if line.startswith("threads at exit: ")]
    assert len(lines) >= 2
    assert "gloo" not in "".join(lines)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="finds the processes of torchrun in /proc")
def test_two_processes_train_one_run_and_restart_after_one_has_died(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(PRINT_THREADS)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path / "site"), os.environ.get("PYTHONPATH", "")]))
    script = ["distributed_data_parallel_train.sh", CONFIG, "2", "cpu"]
    output = finish(start(*script, name="whole", epochs=1, batch=16))
    assert "effective batch 32 (2 processes)" in output
    check_threads_at_exit(output)
    whole = only_run(tmp_path / "whole")
    assert len(read_checkpoint(whole / "models" / "last.pth")["random"]) == 2
    assert len((whole / "metrics.jsonl").read_text().splitlines()) == 2
    last = read_json(whole / "results.json")["last"]["ensemble"]
    assert evaluation_of(whole, "main/valid.py", "--cfg", str(whole / "config.yaml")) == last

    process = start(*script, name="broken", epochs=1, batch=16, torchrun="--standalone --max-restarts 1")
    wait_for(process, "epoch 1/1 batch 3/8")
    os.kill(children(process)[-1], signal.SIGKILL)
    output = finish(process)
    assert output.count("error: process ") == 1
    assert "another process of the run" in output
    assert "resuming from" in output
    check_threads_at_exit(output)
    for name, value in weights(whole).items():
        assert torch.equal(value, weights(only_run(tmp_path / "broken"))[name]), name
