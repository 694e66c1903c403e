"""Keys of the evaluation: TEST."""

from longtail.config.key import Key, Keys

EVALUATION: Keys = {
    "TEST.BATCH_SIZE": Key(
        32,
        "Images per evaluation step, in each process.",
        low=1,
        high=2**20,
    ),
    "TEST.NUM_WORKERS": Key(
        8,
        "Processes that decode image files for evaluation.",
        low=0,
        high=4096,
        result=False,
    ),
    "TEST.MODEL_FILE": Key(
        "",
        "Checkpoint to evaluate: a path, or the name of a file in RUN/models. Empty: best_ensemble.pth.",
        result=False,
    ),
    "TEST.MANY_SHOT": Key(
        100,
        'Classes with at least this many training images are "many".',
        low=1,
        ours=True,
    ),
    "TEST.FEW_SHOT": Key(
        20,
        'Classes with at most this many training images are "few".',
        low=0,
        ours=True,
    ),
    "TEST.SELECT_BY": Key(
        "top1",
        "Metric of the validation images that decides which epoch is the best; nll and ece: the lowest, others: the "
        "highest.",
        allowed=(
            *("top1", "balanced_accuracy", "macro_f1", "macro_precision", "worst_class", "lowest_tenth"),
            *("harmonic_mean", "geometric_mean", "many", "medium", "few", "nll", "ece"),
        ),
        ours=True,
    ),
    "TEST.ENSEMBLE": Key(
        "mean",
        "Heads of the ensemble, which makes the prediction: mean (the mean of all logits) | last | the indices of "
        "heads to average, for example 0,2. Each head is also reported separately.",
        lists=True,
        ours=True,
    ),
    "TEST.TTA": Key(
        "none",
        "Test-time augmentation, the mean of the logits over: none | flip (image and mirror image) | five_crops "
        "(corners and center of the image that TEST_TRANSFORMS resize; otherwise of the image padded with black by "
        "RANDOM_CROP.PADDING, at its own size). Used where LOGIT_ADJUSTMENT is.",
        allowed=("none", "flip", "five_crops"),
        ours=True,
    ),
    "TEST.TAU_NORM.USE_TAU_NORM": Key(
        False,
        "Divide the class weights by their norm^TAU before evaluation. Used by valid, predict, export and evaluate "
        "stages of recipes; evaluations during training ignore it.",
    ),
    "TEST.TAU_NORM.TAU": Key(
        1.0,
        "Strength of the normalization.",
        low=0,
        high=100,
    ),
    "TEST.TAU_NORM.KEEP_BIAS": Key(
        True,
        "True, as released. False, as in the paper: the bias is dropped.",
        ours=True,
    ),
    "TEST.LOGIT_ADJUSTMENT": Key(
        0.0,
        "Post-hoc logit adjustment: evaluate z_c - LOGIT_ADJUSTMENT * log(n_c / N). Used by valid, predict, export and "
        "evaluate stages of recipes; evaluations during training ignore it.",
        low=0,
        high=100,
        ours=True,
    ),
    "TEST.CLASS_OFFSETS": Key(
        [],
        "Decision thresholds: offsets of the logits of the C classes; []: none. A calibrate stage of "
        "a recipe chooses them. Used where LOGIT_ADJUSTMENT is.",
        low=-1000,
        high=1000,
        items="float",
        ours=True,
    ),
    "TEST.TEMPERATURE": Key(
        1.0,
        "Divides the logits, after LOGIT_ADJUSTMENT and CLASS_OFFSETS and before PRIOR. A calibrate stage of a recipe "
        "chooses it. Used where LOGIT_ADJUSTMENT is.",
        positive=True,
        high=1000,
        ours=True,
    ),
    "TEST.PRIOR": Key(
        "uniform",
        "Class frequencies pi_c of the images to predict: uniform | train | reversed | a file of C numbers. Adds "
        "log(C * pi_c) to logits that assume equal frequencies; networks trained with plain cross-entropy need "
        "LOGIT_ADJUSTMENT 1.0 as well. Used where LOGIT_ADJUSTMENT is.",
        ours=True,
    ),
}
