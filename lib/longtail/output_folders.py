"""The folders that this project writes, known by files in them: runs, evaluations, generated and packed images."""

import os

CONFIG = "config.yaml"  # of a run: the complete config
INPUTS = "inputs.json"  # of a run: the files that it started from
RESULTS = "results.json"  # of a run or an evaluation
SAMPLES = "samples.npz"  # of an evaluation: the prediction for every image
GENERATION = "generation.json"  # of generated images: what they depend on
PACKED = "pack.json"  # of packed images: how they were packed

_MARKS = ((CONFIG, INPUTS), (RESULTS, SAMPLES), (GENERATION,), (PACKED,))


def is_output(folder: str) -> bool:
    """Return whether this project wrote a folder: a run directory, an evaluation, generated or packed images."""
    return any(all(os.path.isfile(os.path.join(folder, name)) for name in names) for names in _MARKS)
