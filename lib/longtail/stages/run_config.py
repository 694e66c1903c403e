"""Running a config: a training, or the generation of images for a later one."""

from pathlib import Path

from yacs.config import CfgNode

from longtail.distributed import Place
from longtail.stages.generate import generate
from longtail.stages.train import train


def run_config(cfg: CfgNode, source: str, *, place: Place, resume: str = "auto") -> Path:
    """Generate images if DATASET.GENERATE_CAM_BASED_DATASET is True, else train; see `generate` and `train`.

    Returns:
        The run directory, or the annotation file of the images.
    """
    if cfg.DATASET.GENERATE_CAM_BASED_DATASET:
        return generate(cfg, place=place)
    return train(cfg, source, place=place, resume=resume).path
