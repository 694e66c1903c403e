"""A whole NCL training of CIFAR-10-LT's size with our config's evaluations: minutes for its 400 epochs.

Images are synthetic, so accuracy is not measured; fewer epochs are trained and their time is extrapolated. No files are
written.
"""

import torch
from made_up_images import long_tailed_labels, smooth_images
from measuring import CPU, Row, interleaved
from training import CLASSES, build_trainer, config, image_set

EPOCHS = 400


def measure(
    images: int = 12_406,
    valid: int = 10_000,
    *,
    epochs: int = 20,
    rounds: int = 1,
    batch: int = 64,
    device: torch.device = CPU,
    backbone: str = "res32_cifar",
    compiled: bool = False,
) -> list[Row]:
    """Return the row; see the module."""
    cfg = config(
        *("BACKBONE.MULTI_NETWORK_TYPE", [backbone] * 3, "TRAIN.AMP", "auto", "TRAIN.BATCH_SIZE", batch),
        *("TRAIN.MAX_EPOCH", (rounds + 1) * epochs, "VALID_STEP", 5, "TRAIN.COMPILE", compiled),
        *("TEST.BATCH_SIZE", 256, "TRAIN.OPTIMIZER.CLIP_NORM", 1.0, "INPUT_SIZE", [32, 32]),
    )
    trainer = build_trainer(
        cfg,
        smooth_images(images, 32, 32),
        long_tailed_labels(images, CLASSES),
        device=device,
        valid=image_set(smooth_images(valid, 32, 32), long_tailed_labels(valid)),
    )

    def ours() -> None:
        for _ in range(epochs):
            trainer.train_epoch()

    times = interleaved({"ours": ours}, rounds, device=device)
    return [
        Row(
            f"NCL, {EPOCHS} epochs of {images:,} images, {valid:,} evaluated every 5, 3 x {backbone}, {device.type}",
            "minutes",
            times["ours"].median * EPOCHS / epochs / 60,
            higher_is_better=False,
            peak_mb=times["ours"].peak_mb,
            note=f"{epochs} epochs a round, times {EPOCHS / epochs:g}; TRAIN.COMPILE {compiled}",
        )
    ]
