"""Names of files that this project writes, and the folders that are known by them."""

import os

CONFIG = "config.yaml"  # of a run: the complete config
INPUTS = "inputs.json"  # of a run: the files that it started from
ENVIRONMENT = "environment.json"  # of a run: versions, hardware, command, and the images
LAST, PREVIOUS = "last.pth", "previous.pth"  # of a run, in models/: the newest state, and the one before it
BEST, BEST_SINGLE = "best_ensemble.pth", "best_single.pth"  # the same: of the ensemble, and of a single expert
RESULTS = "results.json"  # of a run or an evaluation
SAMPLES = "samples.npz"  # of an evaluation: the prediction for every image
GENERATION = "generation.json"  # of generated images: what they depend on
PACKED = "pack.json"  # of packed images: how they were packed

_MARKS = ((CONFIG, INPUTS), (RESULTS, SAMPLES), (GENERATION,), (PACKED,))


def is_output(folder: str) -> bool:
    """Return whether this project wrote a folder: a run directory, an evaluation, generated or packed images."""
    return any(all(os.path.isfile(os.path.join(folder, name)) for name in names) for names in _MARKS)
