"""Keys of the training method subclass_contrastive (SBCL): TRAIN.COMBINER.SUBCLASS."""

from longtail.config.key import Key, Keys

_SECTION = "TRAIN.COMBINER.SUBCLASS"

SUBCLASSES: Keys = {
    f"{_SECTION}.WARM_EPOCHS": Key(
        10,
        "SBCL: epochs before the first clustering, of supervised contrast, or of k-positive contrast with "
        "NETWORK.MOCO. MAX_EPOCH or more: that contrast alone.",
        low=0,
        ours=True,
    ),
    f"{_SECTION}.EVERY": Key(
        10,
        "SBCL: epochs from one clustering to the next.",
        low=1,
        ours=True,
    ),
    f"{_SECTION}.DELTA": Key(
        10,
        "SBCL: target for the smallest size of a subclass. A class of n_c images is split into "
        "floor(n_c / max(n_min, DELTA)) subclasses.",
        low=1,
        ours=True,
    ),
    f"{_SECTION}.CLUSTERING": Key(
        "capped",
        "SBCL: capped (spherical k-means in which no subclass exceeds ceil(n_c / number), the paper's Algorithm 1) | "
        "kmeans (subclasses of any size, as released) | balanced (sizes differ by at most one; unused code of the "
        "release).",
        allowed=("capped", "kmeans", "balanced"),
        ours=True,
    ),
    f"{_SECTION}.VIEW": Key(
        "clean",
        "SBCL: view of the training images that are clustered: clean (that of evaluation) | train (the first training "
        "view, as released).",
        allowed=("clean", "train"),
        ours=True,
    ),
    f"{_SECTION}.TEMPERATURE": Key(
        0.1,
        "SBCL: temperature of the warm-up and of the subclass term.",
        positive=True,
        high=100,
        ours=True,
    ),
    f"{_SECTION}.BASE_TEMPERATURE": Key(
        0.0,
        "SBCL: the subclass term is multiplied by TEMPERATURE / BASE_TEMPERATURE, as released (0.07) without "
        "NETWORK.MOCO; 0: by 1, as in the paper.",
        low=0,
        high=100,
        ours=True,
    ),
    f"{_SECTION}.BETA": Key(
        0.25,
        "SBCL: weight of the class term.",
        low=0,
        high=1e6,
        ours=True,
    ),
    f"{_SECTION}.CLASS_TEMPERATURE": Key(
        0.1,
        "SBCL: temperature T of the class term, from which TEMPERATURE_RULE makes that of each class.",
        positive=True,
        high=100,
        ours=True,
    ),
    f"{_SECTION}.TEMPERATURE_RULE": Key(
        "released",
        "SBCL: temperature of a class of spread r, relative to the mean spread: released (T r, with r clipped to its "
        "20th and 80th percentile; T if the class is not split) | paper (T exp(r)) | constant (T).",
        allowed=("released", "paper", "constant"),
        ours=True,
    ),
    f"{_SECTION}.ONE_DENOMINATOR": Key(
        False,
        "SBCL: True is the released variant in which both terms have TEMPERATURE and compare with all other views or "
        "keys.",
        ours=True,
    ),
    f"{_SECTION}.POSITIVES": Key(
        6,
        "SBCL: keys of the same class that the k-positive contrast draws for each image; 0: all.",
        low=0,
        high=65536,
        ours=True,
    ),
}
