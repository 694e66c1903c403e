"""What a tree asks for: a training, or the images that a later training needs."""

from pathlib import Path

from yacs.config import CfgNode

from longtail.engine.cam_generation import generate
from longtail.engine.training import train


def run_stage(cfg: CfgNode, source: str, gpus: str | None = None, resume: str = "auto") -> Path | None:
    """Make images where DATASET.GENERATE_CAM_BASED_DATASET says so, else train; see `generate` and `train`.

    Returns:
        the run directory, or the annotation file of the images; None in processes that do not write.
    """
    if cfg.DATASET.GENERATE_CAM_BASED_DATASET:
        return generate(cfg, gpus)
    run = train(cfg, source, gpus, resume)
    return run.path if run else None
