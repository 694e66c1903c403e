"""Keys of the samplers: TRAIN.SAMPLER."""

from longtail.config.key import Key, Keys

SAMPLING: Keys = {
    "TRAIN.SAMPLER.TYPE": Key(
        "default",
        "default: every image once per epoch | weighted sampler: draw a class, then one of its images | class-aware "
        "sampler: the classes in turn, several images of each in a row | repeat-factor sampler: images of rare classes "
        "several times per epoch, all others once | bbn sampler: as default, and a partner for each batch.",
    ),
    "TRAIN.SAMPLER.WEIGHTED_SAMPLER.TYPE": Key(
        "balance",
        "Class probabilities: balance (uniform) | square (p_c ~ n_c^EXPONENT) | progressive (from n_c to balance over "
        "MAX_EPOCH) | effective (an image of class c with the weight 1 / its effective number).",
    ),
    "TRAIN.SAMPLER.WEIGHTED_SAMPLER.EXPONENT": Key(
        0.5,
        "Exponent of `square`; n_c are the training images of class c.",
        low=0,
        high=1,
        ours=True,
    ),
    "TRAIN.SAMPLER.WEIGHTED_SAMPLER.BETA": Key(
        0.9999,
        "Beta of the effective number (1 - BETA^n_c) / (1 - BETA) of `effective`.",
        low=0,
        high=1,
        ours=True,
    ),
    "TRAIN.SAMPLER.CLASS_AWARE.PER_CLASS": Key(
        4,
        "Class-aware sampler: images of a class in a row.",
        low=1,
        high=65536,
        ours=True,
    ),
    "TRAIN.SAMPLER.CLASS_AWARE.LENGTH": Key(
        "classes",
        "Class-aware sampler: images per epoch: the size of the largest class times the number of classes (classes), "
        "or the number of training images (images).",
        allowed=("classes", "images"),
        ours=True,
    ),
    "TRAIN.SAMPLER.REPEAT_FACTOR.THRESHOLD": Key(
        0.0,
        "Repeat-factor sampler: an image of a class with the fraction f of the images is shown sqrt(THRESHOLD / f) "
        "times per epoch, and at least once; 0: 1 / number of classes. (LVIS: 0.001.)",
        low=0,
        high=1,
        ours=True,
    ),
    "TRAIN.SAMPLER.BBN_SAMPLER.TYPE": Key(
        "reverse",
        "Class probabilities of the partners: reverse (p_c ~ 1 / n_c).",
        allowed=("reverse",),
    ),
    "TRAIN.SAMPLER.MULTI_NETWORK_TYPE": Key(
        ["default"],
        "NCL's key, of which the first name counts: default (see TYPE) | weighted_balance | weighted_square (p_c ~ "
        "n_c^0.25, which is what its code computes) | weighted_progressive. Replaced by TYPE and WEIGHTED_SAMPLER when "
        "the config is loaded.",
        items="name",
    ),
}
