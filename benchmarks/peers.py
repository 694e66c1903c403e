#!/usr/bin/env python3
"""Compare an epoch of training with the same training written with other packages.

    python benchmarks/peers.py
    python benchmarks/peers.py --images 12406 --rounds 5

All do the same work: ResNet-32 with cross-entropy on as many images of 32 x 32 as CIFAR-10-LT has, in memory; crop
after padding, flip, normalization; batches of 128, SGD with Nesterov momentum, float32 on the CPU, the same number of
threads, which sleep while idle. `longtail` is our training loop; `torchvision` is a plain loop over a DataLoader with
two workers; `timm` uses timm's loader (two workers) and optimizer; `lightning` runs the loader of `torchvision` in a
Lightning Trainer. Packages that are not installed are skipped.

Each is a process; they take turns, one epoch at a time. Prints images per second (median, and the median over the
rounds of the ratio to longtail), memory of the process and its workers (shared pages counted once), and seconds from
the command to the first step.

Exit code: 0, or 2 for an invalid command.
"""

import argparse
import importlib
import importlib.util
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from served import Served, answer, environment, family

from longtail.threads import set_threads

ROOT = Path(__file__).resolve().parent.parent
NAMES = ("longtail", "torchvision", "timm", "lightning")
BATCH = 128
WORKERS = 2
MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)
RATE, MOMENTUM, DECAY = 0.1, 0.9, 2e-4


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line; measure, or run as one of the measured processes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=12_406, help=f"at least {BATCH}")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--serve", choices=NAMES, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.images < BATCH or options.rounds < 1:
        parser.error(f"--images must be at least {BATCH}, --rounds at least 1")
    if options.serve:
        serve(options.serve, options.images)
    else:
        compare(options.images, options.rounds)
    return 0


# The measuring process


class Peer(Served):
    """A process that trains an epoch on request.

    Attributes:
        start: Seconds from the command to the end of the first step.
        seconds: Seconds of each epoch.
        megabytes: Memory of the process and its workers after an epoch.
    """

    def __init__(self, name: str, images: int) -> None:
        variables = environment()
        set_threads(variables)
        begin = time.perf_counter()
        super().__init__([sys.executable, __file__, "--serve", name, "--images", str(images)], variables)
        self.start = time.perf_counter() - begin
        self.seconds: list[float] = []
        self.megabytes = 0.0

    def train(self) -> None:
        """Train an epoch."""
        self.seconds.append(self.ask())
        self.megabytes = max(self.megabytes, sum(map(megabytes, family(self.process.pid))))


def compare(images: int, rounds: int) -> None:
    """Run all in turn and print the table."""
    installed = [name for name in NAMES if importlib.util.find_spec(name)]
    peers: dict[str, Peer] = {}
    try:
        for name in installed:
            peers[name] = Peer(name, images)
            peers[name].train()
            peers[name].seconds.clear()  # workers were started in it
        for _ in range(rounds):
            for peer in peers.values():
                peer.train()
    finally:
        for peer in peers.values():
            peer.close()
    counted = images - images % BATCH
    print(f"{'':12} images/s  ratio                 MB  first step")
    for name, peer in peers.items():
        ratios = sorted(slow / own for slow, own in zip(peer.seconds, peers["longtail"].seconds, strict=True))
        spread = f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
        rate = counted / statistics.median(peer.seconds)
        print(f"{name:12} {rate:8.0f}  {spread:20} {peer.megabytes:5.0f}  {peer.start:6.1f} s")
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"not installed: {', '.join(sorted(set(NAMES) - set(installed))) or 'none'}; load average {load}")


def megabytes(number: int) -> float:
    """Return the memory of a process; pages that n processes share count 1 / n."""
    lines = Path(f"/proc/{number}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) / 1e3 for line in lines if line.startswith("Pss:"))


# The measured processes


def serve(name: str, images: int) -> None:
    """Train: reply after the first step, and then with the seconds of each requested epoch."""
    if name == "lightning":
        with_lightning(images)
        return
    epoch = {"longtail": with_longtail, "torchvision": with_torchvision, "timm": with_timm}[name](images)
    for _ in sys.stdin:
        begin = time.perf_counter()
        epoch()
        answer(time.perf_counter() - begin)


def made_up(images: int) -> Any:
    """Return pixels, uint8 (N, 3, 32, 32), and class ids (N,)."""
    from made_up_images import long_tailed_labels, smooth_images

    return smooth_images(images, 32, 32), long_tailed_labels(images, 10)


def network_and_loss() -> Any:
    """Return ResNet-32 and its loss, the same for all packages."""
    import torch
    from training import config

    from longtail.models import build_model

    model: Any = build_model(config("BACKBONE.MULTI_NETWORK_TYPE", ["res32_cifar"]), 10).train()
    return model, lambda images, labels: torch.nn.functional.cross_entropy(model(images).logits[0], labels)


def augmentation(last: Callable[[Any], Any]) -> Any:
    """Return crop and flip of Pillow images, followed by `last`."""
    from torchvision import transforms

    return transforms.Compose([transforms.RandomCrop(32, 4), transforms.RandomHorizontalFlip(), last])


def dataset(images: int, transform: Any) -> Any:
    """Return the images as torchvision's CIFAR-10 holds them: an array, from which Pillow images are made."""
    from PIL import Image
    from torch.utils.data import Dataset

    pixels, labels = made_up(images)
    arrays, ids = pixels.permute(0, 2, 3, 1).contiguous().numpy(), labels.tolist()

    class Images(Dataset[Any]):
        """Images in memory."""

        def __init__(self) -> None:
            self.transform = transform

        def __len__(self) -> int:
            return len(ids)

        def __getitem__(self, index: int) -> Any:
            return self.transform(Image.fromarray(arrays[index])), ids[index]

    return Images()


def plain_loader(images: int) -> Any:
    """Return a DataLoader of torchvision's transforms."""
    from torch.utils.data import DataLoader
    from torchvision import transforms

    last = transforms.Compose([transforms.ToTensor(), transforms.Normalize(MEAN, STD)])
    return DataLoader(
        dataset(images, augmentation(last)),
        BATCH,
        shuffle=True,
        drop_last=True,
        num_workers=WORKERS,
        persistent_workers=True,
    )


def sgd(parameters: Any) -> Any:
    """Return the optimizer."""
    import torch

    return torch.optim.SGD(parameters, RATE, MOMENTUM, weight_decay=DECAY, nesterov=True)


def steps(loader: Any, loss_of: Any, optimizer: Any) -> Iterator[float]:
    """Train an epoch, yielding the loss of each step."""
    for images, labels in loader:
        loss = loss_of(images, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        yield loss.item()


def ready(loader: Any, loss_of: Any, optimizer: Any) -> Callable[[], object]:
    """Train the first step, reply, and return a function that trains an epoch."""
    next(steps(loader, loss_of, optimizer))
    answer("ready")
    return lambda: sum(steps(loader, loss_of, optimizer))


def with_longtail(images: int) -> Callable[[], object]:
    """Return a function that trains an epoch with longtail."""
    import torch
    from training import build_trainer, config, our_epoch

    cfg = config(
        *("BACKBONE.MULTI_NETWORK_TYPE", ["res32_cifar"], "LOSS.LOSS_TYPE", "CrossEntropy"),
        *("DATASET.VIEWS", ["crop_flip"], "TRAIN.BATCH_SIZE", BATCH, "TRAIN.MAX_EPOCH", 10**6, "TRAIN.AMP", "off"),
        *("TRAIN.OPTIMIZER.BASE_LR", RATE, "TRAIN.OPTIMIZER.WEIGHT_DECAY", DECAY),
    )
    pixels, labels = made_up(images)
    trainer = build_trainer(cfg, pixels, labels, device=torch.device("cpu"))
    first = build_trainer(cfg, pixels[:BATCH], torch.arange(BATCH) % 10, device=torch.device("cpu"))
    our_epoch(first)()  # an epoch of one step
    answer("ready")
    return our_epoch(trainer)


def with_torchvision(images: int) -> Callable[[], object]:
    """Return a function that trains an epoch in a plain loop."""
    model, loss_of = network_and_loss()
    return ready(plain_loader(images), loss_of, sgd(model.parameters()))


def with_timm(images: int) -> Callable[[], object]:
    """Return a function that trains an epoch with timm's loader, which normalizes whole batches, and its optimizer."""
    import torch
    from timm.data.loader import create_loader
    from timm.data.transforms import ToNumpy

    timm_optim: Any = importlib.import_module("timm.optim")
    model, loss_of = network_and_loss()
    loader = create_loader(
        dataset(images, None),
        (3, 32, 32),
        BATCH,
        is_training=True,
        mean=MEAN,
        std=STD,
        num_workers=WORKERS,
        persistent_workers=True,
        device=torch.device("cpu"),
        pin_memory=False,
    )
    loader.dataset.transform = augmentation(ToNumpy())  # the same crop as the others
    optimizer = timm_optim.create_optimizer_v2(model, "sgd", RATE, weight_decay=DECAY, momentum=MOMENTUM)
    return ready(loader, loss_of, optimizer)


def with_lightning(images: int) -> None:
    """Train epochs on request in a Lightning Trainer."""
    lightning: Any = importlib.import_module("lightning")
    model, loss_of = network_and_loss()

    class Module(lightning.LightningModule):  # type: ignore[misc]  # not installed where types are checked
        """The same step."""

        def __init__(self) -> None:
            super().__init__()
            self.model = model
            self.begin = 0.0

        def training_step(self, batch: Any, index: int) -> Any:
            """Return the loss."""
            return loss_of(*batch)

        def configure_optimizers(self) -> Any:
            """Return the optimizer."""
            return sgd(self.parameters())

        def on_train_batch_end(self, outputs: Any, batch: Any, index: int) -> None:
            """Reply after the first step."""
            if self.global_step == 1:
                answer("ready")

        def on_train_epoch_start(self) -> None:
            """Wait until an epoch is requested; the first one starts at once."""
            if self.current_epoch and not sys.stdin.readline():
                self.trainer.should_stop = True
            self.begin = time.perf_counter()

        def on_train_epoch_end(self) -> None:
            """Reply with the seconds of the epoch."""
            if self.current_epoch:
                answer(time.perf_counter() - self.begin)

    quiet = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    trainer: Any = lightning.Trainer(accelerator="cpu", max_epochs=-1, num_sanity_val_steps=0, **quiet)
    trainer.fit(Module(), plain_loader(images))


if __name__ == "__main__":
    sys.exit(main())
