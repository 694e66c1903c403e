"""A whole NCL training of CIFAR-10-LT's size, judged as our configuration does: minutes for its 400 epochs.

Images are made up, so accuracy is not measured; fewer epochs are trained and their time is multiplied. Writing files is
left out.
"""

import torch
from epoch import CLASSES, build_trainer, tree
from measuring import CPU, Row, in_turns
from pictures import long_tailed_labels, smooth_images

from longtail.data.dataset import ImageSet

EPOCHS = 400


def measure(
    images: int = 12_406,
    valid: int = 10_000,
    epochs: int = 20,
    rounds: int = 1,
    batch: int = 64,
    device: torch.device = CPU,
    backbone: str = "res32_cifar",
    replayed: str = "streams",
) -> list[Row]:
    """Return the row; see the module."""
    cfg = tree(
        *("BACKBONE.MULTI_NETWORK_TYPE", [backbone] * 3, "TRAIN.AMP", "auto", "TRAIN.BATCH_SIZE", batch),
        *("TRAIN.MAX_EPOCH", (rounds + 1) * epochs, "VALID_STEP", 5, "SAVE_STEP", -1, "TRAIN.CUDA_GRAPH", replayed),
    )
    labels = long_tailed_labels(valid).tolist()
    judged = ImageSet.from_tensor("judged", smooth_images(valid, 32, 32), labels=labels, num_classes=CLASSES)
    trainer = build_trainer(cfg, smooth_images(images, 32, 32), long_tailed_labels(images, CLASSES), device, judged)

    def ours() -> None:
        for _ in range(epochs):
            trainer._end_epoch(trainer._train_epoch())

    times = in_turns({"ours": ours}, rounds, device)
    return [
        Row(
            f"NCL, {EPOCHS} epochs of {images:,} images, judged on {valid:,} every 5, 3 x {backbone}, {device.type}",
            "minutes",
            times["ours"].median * EPOCHS / epochs / 60,
            higher_is_better=False,
            peak_mb=times["ours"].peak_mb,
            note=f"{epochs} epochs a round, times {EPOCHS / epochs:g}; TRAIN.CUDA_GRAPH {replayed}",
        )
    ]
