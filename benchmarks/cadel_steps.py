#!/usr/bin/env python3
"""Run one training step and one evaluation of every CADEL config at its image size, on the CPU.

    python benchmarks/cadel_steps.py
    python benchmarks/cadel_steps.py imagenet_lt,cadel_r50 inat18,cadel_vit_384 --batch 2

Prints parameters (M) and multiply-adds (G) for one image, in parentheses those of the release if they are known; the
peak memory of this process during step and evaluation; seconds; the loss; and whether every gradient is finite. Images
are noise, weights are random. Multiply-adds are those of convolutions, linear layers and attention.

Exit code: 0, or 1 if a size differs from the release or a number is not finite.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from measuring import CPU, forget_peak, forward_operations, peak_mb, positive, threads
from torch import Tensor, nn

from longtail.config import load_config
from longtail.data import Batch, build_normalize
from longtail.data.long_tail import class_counts
from longtail.engine.optim import build_optimizer
from longtail.evaluation import Evaluator
from longtail.losses import build_loss
from longtail.methods import build_method
from longtail.models import Output, build_model

CLASSES = {"imagenet_lt": 1000, "inat18": 8142, "places_lt": 365}
RELEASED = {  # millions of parameters; multiply-adds of the trunk and of the branches, G
    "imagenet_lt,cadel_r50": (165.1, 4.09, 43.3),
    "imagenet_lt,cadel_x50": (164.6, None, None),
    "imagenet_lt,cadel_vit": (116.5, None, None),
    "imagenet_lt,cadel_vit_384": (None, None, None),
    "inat18,cadel_r50": (238.3, 4.09, None),
    "inat18,cadel_vit": (132.9, None, None),
    "inat18,cadel_vit_384": (None, None, None),
    "places_lt,cadel_r152": (327.5, None, None),
    "places_lt,cadel_vit": (None, None, None),
    "places_lt,cadel_vit_384": (None, None, None),
}


@dataclass(frozen=True)
class NoData:
    """Training data for methods that use none."""

    class_counts: Sequence[int]
    labels: Tensor

    def outputs(self, network: nn.Module, view: str = "clean") -> Output:
        """Refuse."""
        raise NotImplementedError


@dataclass(frozen=True)
class Sizes:
    """Size and cost of a network.

    Attributes:
        parameters: In millions.
        trunk: Multiply-adds of the trunk for one image, G.
        rest: Multiply-adds of branches and heads, G.
    """

    parameters: float
    trunk: float
    rest: float


def sizes_of(cfg: Any, classes: int) -> Sizes:
    """Return size and cost of the network of a config, computed from shapes only."""
    with torch.device("meta"):
        network: Any = build_model(cfg, classes).eval()
    image = torch.empty(1, 3, *cfg.INPUT_SIZE, device="meta")
    parameters = sum(parameter.numel() for parameter in network.parameters())
    whole, trunk = (forward_operations(part, image) / 2e9 for part in (network, network.trunk))
    return Sizes(parameters / 1e6, trunk, whole - trunk)


def step_and_evaluation(cfg: Any, classes: int, *, batch: int) -> tuple[float, bool]:
    """Train one step and evaluate one batch; return the loss, and whether all gradients and results are finite."""
    torch.manual_seed(0)
    counts = class_counts(1280, classes, 0.01)
    network: Any = build_model(cfg, classes)
    labels = torch.randint(classes, (batch,))
    data: Any = NoData(counts, labels)
    method = build_method(cfg, network, build_loss(cfg, counts), data)
    method.set_epoch(2)
    optimizer = build_optimizer(cfg, method.trainable(), fused=False)
    images = torch.randint(0, 256, (1, batch, 3, *cfg.INPUT_SIZE), dtype=torch.uint8)
    normalized = build_normalize(cfg)(images)
    step = method.training_step(Batch(normalized, labels, torch.arange(batch)))
    step.loss.backward()
    finite = all(p.grad is None or bool(p.grad.isfinite().all()) for p in network.parameters())
    optimizer.step()
    evaluator = Evaluator(classes, len(network.heads), counts, ensemble=cfg.TEST.ENSEMBLE)
    with torch.no_grad():
        evaluator.update(network.eval()(normalized[0]).logits, labels)
    return float(step.loss.detach()), finite and evaluator.non_finite() == 0


def agrees(found: float, released: float | None) -> bool:
    """Return whether a number equals the released one in all of its digits; True if that is not known."""
    return released is None or abs(found - released) < 0.06


def known(number: float | None) -> str:
    """Return a released number, or a dash."""
    return "-" if number is None else f"{number:g}"


def measure(source: str, *, batch: int) -> bool:
    """Measure a config, print its line, and return whether all checks pass."""
    cfg, classes = load_config(source), CLASSES[source.split(",", maxsplit=1)[0]]
    sizes, released = sizes_of(cfg, classes), RELEASED.get(source, (None, None, None))
    before, start = forget_peak(CPU), time.perf_counter()
    loss, finite = step_and_evaluation(cfg, classes, batch=batch)
    seconds, peak = time.perf_counter() - start, peak_mb(CPU) - before
    found = (sizes.parameters, sizes.trunk, sizes.rest)
    cells = [f"{own:8.2f} ({known(other):>5})" for own, other in zip(found, released, strict=True)]
    shown = f"{source:26} {cfg.INPUT_SIZE[0]:4} {' '.join(cells)} {peak:8,.0f} {seconds:7.1f} {loss:8.2f}  {finite}"
    print(shown, flush=True)
    return finite and all(agrees(own, other) for own, other in zip(found, released, strict=True))


def main(arguments: list[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("configs", nargs="*", default=list(RELEASED), metavar="CONFIG")
    parser.add_argument("--batch", type=positive, default=2, help="images of the step and of the evaluation")
    options = parser.parse_args(arguments)
    print(f"batch {options.batch}; in parentheses: the release")
    sizes = "".join(f"{name:>17}" for name in ("parameters, M", "trunk, G", "branches, G"))
    print(f"{'config':26} size{sizes}  peak MB seconds     loss  finite")
    with threads(1):
        well = [measure(source, batch=options.batch) for source in options.configs]
    return 0 if all(well) else 1


if __name__ == "__main__":
    sys.exit(main())
