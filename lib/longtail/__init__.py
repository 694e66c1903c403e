"""Train and evaluate image classifiers on long-tailed data.

import longtail

cfg = longtail.load_config("digits_lt,ncl", ["TRAIN.MAX_EPOCH", 2])
run = longtail.train(cfg, gpus="cpu")
accuracy = longtail.evaluate(run)["ensemble"]["top1"]
name = longtail.load(run).predict("photo.jpg")[0].name
"""

from typing import TYPE_CHECKING, Any

from longtail.config import load_config

if TYPE_CHECKING:
    from longtail.api import evaluate, load, train

__version__ = "0.2.0"
__all__ = ["evaluate", "load", "load_config", "train"]


def __getattr__(name: str) -> Any:
    """Import functions that need torch when they are first used, so that `longtail --help` does not wait for it."""
    if name in ("train", "evaluate", "load"):
        from longtail import api

        return getattr(api, name)
    raise AttributeError(f"module 'longtail' has no attribute {name!r}")
