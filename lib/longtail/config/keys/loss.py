"""Keys of the losses: LOSS."""

from longtail.config.key import Key, Keys

LOSS: Keys = {
    "LOSS.LOSS_TYPE": Key(
        "CrossEntropy",
        "Name of the loss; an unknown name lists all of them.",
    ),
    "LOSS.CLASS_WEIGHTS.TYPE": Key(
        "none",
        "Weight of class c in every cross-entropy: none | inverse (n_c^-POWER) | effective (1 / effective number, see "
        "BETA); divided by their mean over the classes. TRAIN.TWO_STAGE.DRW defers them.",
        allowed=("none", "inverse", "effective"),
        ours=True,
    ),
    "LOSS.CLASS_WEIGHTS.POWER": Key(
        1.0,
        "Exponent of `inverse`: 0 is no weighting, 0.5 the square root, 1 balances the classes.",
        low=0,
        high=10,
        ours=True,
    ),
    "LOSS.CLASS_WEIGHTS.BETA": Key(
        0.999,
        "Beta of the effective number (1 - BETA^n_c) / (1 - BETA) of `effective`.",
        low=0,
        high=1,
        ours=True,
    ),
    "LOSS.CLASS_WEIGHTS.NAMES": Key(
        [],
        "Factors by class name, multiplied with the weights of TYPE: a mapping (ant: 2.5) or a list of ant=2.5; 1 for "
        "other classes. Classes without names are named by their numbers from 0.",
        items="name",
        pairs=True,
        ours=True,
    ),
    "LOSS.CostSensitiveCE.GAMMA": Key(
        1.0,
        "Weight of class c is (n_min / n_c)^GAMMA.",
        low=-100,
        high=100,
    ),
    "LOSS.ClassBalanceCE.BETA": Key(
        0.999,
        "Beta of the effective number of samples.",
        low=0,
        high=1,
    ),
    "LOSS.ClassBalanceFocal.BETA": Key(
        0.999,
        "Beta of the effective number of samples.",
        low=0,
        high=1,
    ),
    "LOSS.ClassBalanceFocal.GAMMA": Key(
        0.5,
        "Focusing exponent.",
        low=0,
        high=100,
    ),
    "LOSS.CrossEntropyLabelSmooth.EPSILON": Key(
        0.1,
        "Fraction of the target that is spread over all classes.",
        low=0,
        high=1,
    ),
    "LOSS.CrossEntropyLabelAwareSmooth.SMOOTH_HEAD": Key(
        0.4,
        "Smoothing of the largest class.",
        low=0,
        high=1,
    ),
    "LOSS.CrossEntropyLabelAwareSmooth.SMOOTH_TAIL": Key(
        0.1,
        "Smoothing of the smallest class.",
        low=0,
        high=1,
    ),
    "LOSS.CrossEntropyLabelAwareSmooth.SHAPE": Key(
        "concave",
        "Curve between the two.",
        allowed=("concave", "linear", "convex"),
    ),
    "LOSS.FocalLoss.GAMMA": Key(
        2.0,
        "Focusing exponent.",
        low=0,
        high=100,
    ),
    "LOSS.LDAMLoss.SCALE": Key(
        30.0,
        "Scale of the cosines.",
        positive=True,
        high=1e4,
    ),
    "LOSS.LDAMLoss.MAX_MARGIN": Key(
        0.5,
        "Margin of the smallest class.",
        low=-100,
        high=100,
    ),
    "LOSS.CDT.GAMMA": Key(
        0.2,
        "Exponent of the class-dependent temperature (n_max / n_c)^GAMMA.",
        low=-10,
        high=10,
    ),
    "LOSS.SEQL.GAMMA": Key(
        0.9,
        "Probability that a tail class is excluded from the denominator.",
        low=0,
        high=1,
    ),
    "LOSS.SEQL.LAMBDA": Key(
        0.005,
        "Fraction of the training images below which a class is tail.",
        low=0,
        high=1,
    ),
    "LOSS.InfluenceBalancedLoss.ALPHA": Key(
        1000.0,
        "Scale of the loss.",
        positive=True,
    ),
    "LOSS.DiVEKLD.POWER_NORM": Key(
        False,
        "Whether the teacher's probabilities are raised to POWER.",
    ),
    "LOSS.DiVEKLD.POWER": Key(
        0.5,
        "Exponent of the teacher's probabilities.",
        low=-100,
        high=100,
    ),
    "LOSS.DiVEKLD.TEMPERATURE": Key(
        3.0,
        "Temperature of teacher and student.",
        positive=True,
        high=1e4,
    ),
    "LOSS.DiVEKLD.ALPHA": Key(
        0.5,
        "Weight of the distillation; the loss on the labels has the rest.",
        low=0,
        high=1,
    ),
    "LOSS.DiVEKLD.BASELOSS": Key(
        "BalancedSoftmaxCE",
        "Loss on the labels. (The release names one that does not exist.)",
    ),
    "LOSS.LogitAdjustment.TAU": Key(
        1.0,
        "Strength; 0 is plain cross-entropy, 1 is balanced softmax.",
        low=-100,
        high=100,
        ours=True,
    ),
    "LOSS.DifficultyMargin.K": Key(
        0.1,
        "DBM: class margin of the smallest class, in radians.",
        low=0,
        high=3,
        ours=True,
    ),
    "LOSS.DifficultyMargin.TAU": Key(
        1.0,
        "DBM: the class margins are K (n_c / n_min)^(-TAU).",
        low=0,
        high=10,
        ours=True,
    ),
    "LOSS.VectorScaling.GAMMA": Key(
        0.05,
        "Vector scaling: logits are divided by (n_max / n_c)^GAMMA.",
        low=0,
        high=10,
        ours=True,
    ),
    "LOSS.VectorScaling.TAU": Key(
        1.0,
        "Vector scaling: TAU log(n_c / N) is added to the logits.",
        low=-100,
        high=100,
        ours=True,
    ),
    "LOSS.VectorScaling.WEIGHT_POWER": Key(
        0.0,
        "Vector scaling: samples of class c are weighted by (n_c / N)^(-WEIGHT_POWER).",
        low=0,
        high=10,
        ours=True,
    ),
    "LOSS.Cascade.BINS": Key(
        8,
        "Cascade losses: number of equal bins into which the samples are sorted by the probability of their class.",
        low=1,
        high=10_000,
        ours=True,
    ),
    "LOSS.Cascade.GAMMA": Key(
        1.0,
        "Cascade losses: the weight of a sample is BASE_WEIGHT + GAMMA * fraction of the samples in its bin.",
        low=0,
        high=1e6,
        ours=True,
    ),
    "LOSS.Cascade.BASE_WEIGHT": Key(
        2.0,
        "Cascade losses: see GAMMA.",
        low=0,
        high=1e6,
        ours=True,
    ),
    "LOSS.Cascade.WEIGHTING": Key(
        "sample",
        "Cascade losses: sample (each sample has its weight) | batch (the mean weight of the batch for all, which is "
        "what CADEL's convolutional networks compute as released).",
        allowed=("sample", "batch"),
        ours=True,
    ),
    "LOSS.HCM_N": Key(
        5,
        "Nested losses: hard classes per sample, its own class included; 0: 30 % of the classes, as in the paper, and "
        "at least 2.",
        low=0,
    ),
    "LOSS.HCM_MODE": Key(
        "zero",
        "Classes that are not hard keep a logit of zero (zero, as released) or leave the softmax (exclude, as in the "
        "paper).",
        allowed=("zero", "exclude"),
        ours=True,
    ),
    "LOSS.HCM_PER_EXPERT": Key(
        False,
        "True: each expert (NCL++: on each view) chooses its own hard classes, as in the papers. False: the first "
        "expert chooses for all, as released.",
        ours=True,
    ),
    "LOSS.HCM_PRIOR": Key(
        "counts",
        "What nested losses add to the logits: log n_c (counts, as released) or log(n_c / N) (frequencies). It matters "
        "for HCM_MODE zero only.",
        allowed=("counts", "frequencies"),
        ours=True,
    ),
    "LOSS.CE_RATIO": Key(
        0.0,
        "Nested losses: weight of the cross-entropy over all classes.",
        low=0,
        high=1e6,
    ),
    "LOSS.HCM_RATIO": Key(
        0.0,
        "Nested losses: weight of the cross-entropy over the hard classes.",
        low=0,
        high=1e6,
    ),
    "LOSS.CON_RATIO": Key(
        0.0,
        "Weight of the contrastive loss.",
        low=0,
        high=1e6,
    ),
    "LOSS.MULTI_CLASIIFIER_LOSS.DIVERSITY_FACTOR": Key(
        0.0,
        "Nested losses: weight of the distillation over all classes. (The section is misspelled in the release.)",
        low=0,
        high=1e6,
    ),
    "LOSS.MULTI_CLASIIFIER_LOSS.DIVERSITY_FACTOR_HCM": Key(
        0.0,
        "Nested losses: weight of the distillation over the hard classes.",
        low=0,
        high=1e6,
    ),
    "LOSS.MULTI_CLASIIFIER_LOSS.RAMP_EPOCHS": Key(
        0,
        "Epochs over which the weight of the distillation grows from 0 to its full value; 0: full at once, as "
        "released.",
        low=0,
        ours=True,
    ),
}
