"""Keys of the optimizer, its schedule, and the average of the weights: TRAIN.OPTIMIZER, LR_SCHEDULER and EMA."""

from longtail.config.key import MOST_EPOCHS, Key, Keys

OPTIMIZATION: Keys = {
    "TRAIN.OPTIMIZER.TYPE": Key(
        "SGD",
        "SGD | ADAM | ADAMW | timm/<name of an optimizer of timm>.",
    ),
    "TRAIN.OPTIMIZER.BASE_LR": Key(
        0.001,
        "Learning rate.",
        positive=True,
        high=1e4,
    ),
    "TRAIN.OPTIMIZER.MOMENTUM": Key(
        0.9,
        "Momentum of SGD.",
        low=0,
        high=1,
    ),
    "TRAIN.OPTIMIZER.NESTEROV": Key(
        True,
        "Nesterov momentum of SGD, as both releases use it.",
        ours=True,
    ),
    "TRAIN.OPTIMIZER.BETAS": Key(
        (0.9, 0.999),
        "Decays of the two moments of Adam and AdamW. Optimizers of timm use their own defaults unless this is set.",
        items="float",
        low=0,
        high=0.9999999,
        length=2,
        ours=True,
    ),
    "TRAIN.OPTIMIZER.WEIGHT_DECAY": Key(
        1e-4,
        "Weight decay; see DECAY_1D for batch norm and biases.",
        low=0,
        high=100,
    ),
    "TRAIN.OPTIMIZER.DECAY_1D": Key(
        True,
        "Weight decay also on parameters with one dimension (batch norm, biases), position embeddings and class "
        "tokens, as NCL and Bag of Tricks do.",
        ours=True,
    ),
    "TRAIN.OPTIMIZER.LAYER_DECAY": Key(
        1.0,
        "Factor between the learning rates of neighboring layers, from the heads down; 1: one rate for all layers.",
        positive=True,
        high=1,
        ours=True,
    ),
    "TRAIN.OPTIMIZER.CLIP_NORM": Key(
        0.0,
        "Largest norm of the gradient over all parameters; 0: no clipping.",
        low=0,
        high=1e6,
        ours=True,
    ),
    "TRAIN.OPTIMIZER.SAM_RHO": Key(
        0.0,
        "Sharpness-aware minimization (arXiv 2010.01412): radius rho, the length of the step along the gradient to the "
        "weights at which the optimizer's gradient is computed; doubles the cost of a step. 0: off.",
        low=0,
        high=100,
        ours=True,
    ),
    "TRAIN.LR_SCHEDULER.TYPE": Key(
        "multistep",
        "multistep | warmup (linear, then multistep) | cosine | warmup_cosine (linear from 0, then cosine) | "
        "ramp_cosine (cosine whose first WARM_EPOCH epochs are replaced by a linear ramp, per step).",
    ),
    "TRAIN.LR_SCHEDULER.LR_STEP": Key(
        [40, 50],
        "Epochs from which the learning rate is multiplied by LR_FACTOR.",
        items="int",
        low=0,
        high=MOST_EPOCHS,
        rising=True,
    ),
    "TRAIN.LR_SCHEDULER.LR_FACTOR": Key(
        0.1,
        "Factor of the learning rate at each LR_STEP.",
        positive=True,
        high=1e4,
    ),
    "TRAIN.LR_SCHEDULER.WARM_EPOCH": Key(
        5,
        "Epochs of warm-up.",
        low=0,
        high=MOST_EPOCHS,
    ),
    "TRAIN.LR_SCHEDULER.WARM_FACTOR": Key(
        1 / 3,
        "warmup and ramp_cosine: fraction of the learning rate at which the warm-up starts.",
        low=0,
        high=1,
        ours=True,
    ),
    "TRAIN.LR_SCHEDULER.PER_STEP": Key(
        True,
        "warmup_cosine: change the rate in every step; False: in every epoch.",
        ours=True,
    ),
    "TRAIN.LR_SCHEDULER.COSINE_DECAY_END": Key(
        0,
        "Epoch at which the cosine ends; 0: MAX_EPOCH.",
        low=0,
        high=MOST_EPOCHS,
    ),
    "TRAIN.LR_SCHEDULER.MIN_LR": Key(
        1e-4,
        "Learning rate at which the cosine schedules end.",
        low=0,
        high=1e4,
        ours=True,
    ),
    "TRAIN.LR_SCHEDULER.EPOCH_OFFSET": Key(
        1,
        "Schedules use e - 1 + EPOCH_OFFSET in epoch e: 1 as released, 0 starts the cosine at its top.",
        low=0,
        high=1,
        ours=True,
    ),
    "TRAIN.EMA.DECAY": Key(
        0.0,
        "Decay of the exponential moving average of the weights, which is then evaluated; 0: no average.",
        low=0,
        high=0.999999,
        ours=True,
    ),
}
