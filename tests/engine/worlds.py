"""Whole trainings in one, two and three gloo processes, as torchrun would start them."""

import os
import socket
import tempfile
from collections.abc import Callable
from typing import Any

import torch

from longtail.engine.trainer import Trainer
from longtail.engine.training import train


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def train_in_world(size: int, cfg: Any, look: Callable[[Trainer], Any]) -> list[Any]:
    """Train in `size` processes; return what `look` sees of every process's trainer when it has finished."""
    context = torch.multiprocessing.get_context("fork")
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        processes = [context.Process(target=_work, args=(rank, size, port, cfg, look, folder)) for rank in range(size)]
        for process in processes:
            process.start()
        for process in processes:
            process.join(timeout=120)
            assert process.exitcode == 0
        return [torch.load(f"{folder}/{rank}") for rank in range(size)]


def _work(rank: int, size: int, port: int, cfg: Any, look: Callable[[Trainer], Any], folder: str) -> None:
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "RANK": str(rank), "WORLD_SIZE": str(size)}
    os.environ["LOCAL_RANK"] = str(rank)
    torch.set_num_threads(1)
    original = Trainer.fit

    def fit(self: Trainer) -> None:
        original(self)
        torch.save(look(self), f"{folder}/{rank}")

    Trainer.fit = fit  # type: ignore[method-assign]  (in this process only)
    train(cfg, "x.yaml", "cpu")
