"""Keys of the training: TRAIN and METHOD."""

from longtail.config.key import Key, Keys
from longtail.config.keys.subclasses import SUBCLASSES

_EPOCHS = 10**7
_PROCESSES = 4096

TRAINING: Keys = {
    "TRAIN.BATCH_SIZE": Key(
        32,
        "Images per step: in all under DataParallel, per process under DistributedDataParallel.",
        low=1,
        high=2**20,
    ),
    "TRAIN.MAX_EPOCH": Key(
        60,
        "Number of epochs.",
        low=1,
        high=_EPOCHS,
    ),
    "TRAIN.SHUFFLE": Key(
        True,
        "Shuffle the images in every epoch.",
    ),
    "TRAIN.NUM_WORKERS": Key(
        8,
        "Processes that decode image files; small images need none.",
        low=0,
        high=_PROCESSES,
        result=False,
    ),
    "TRAIN.DISTRIBUTED": Key(
        False,
        "Not used: the launcher (torchrun) decides whether there are several processes.",
    ),
    "TRAIN.SYNCBN": Key(
        False,
        "Batch-norm statistics over all processes, on GPUs. (The releases: always.)",
    ),
    "TRAIN.APEX": Key(
        False,
        "True in a Bag of Tricks file means fp16 through torch.amp. (Its default was True.)",
    ),
    "TRAIN.AMP": Key(
        "off",
        "Mixed precision; auto is bf16 where the hardware computes in it, else off.",
        allowed=("off", "auto", "bf16", "fp16"),
        ours=True,
    ),
    "TRAIN.CHANNELS_LAST": Key(
        True,
        "NHWC memory layout of images and convolutions.",
        ours=True,
    ),
    "TRAIN.DETERMINISTIC": Key(
        True,
        "Use deterministic cuDNN kernels, as both releases do.",
        ours=True,
    ),
    "TRAIN.COMPILE": Key(
        False,
        "Compile each expert with torch.compile; needs a C++ compiler, and some time before the first step. Off: on "
        "the CPU on which it was measured, it gained no more than the noise between runs.",
        ours=True,
    ),
    "TRAIN.CUDA_GRAPH": Key(
        "off",
        "Experimental, not yet run on a GPU: record a step once per epoch as a CUDA graph and replay it, with the "
        "experts one after another (loop) or in parallel streams (streams).",
        allowed=("off", "loop", "streams"),
        ours=True,
    ),
    "TRAIN.CHECKPOINT_MINUTES": Key(
        10.0,
        "Write last.pth inside an epoch if the newest one is older than this, in minutes.",
        low=0,
        high=1e6,
        result=False,
        ours=True,
    ),
    "TRAIN.PEER_TIMEOUT": Key(
        10.0,
        "Minutes after which a process that does not answer ends the others; raise it for disks on which one process "
        "may wait longer than the others.",
        low=0.05,
        high=1e5,
        result=False,
        ours=True,
    ),
    "TRAIN.LOADER_TIMEOUT": Key(
        5.0,
        "Minutes after which a batch that does not come ends the run: dead workers, a lost network disk.",
        low=0.05,
        high=1e5,
        result=False,
        ours=True,
    ),
    "TRAIN.TENSORBOARD.ENABLE": Key(
        True,
        "Write curves for TensorBoard into the run directory.",
        result=False,
    ),
    "TRAIN.LOGGERS": Key(
        [],
        "Further destinations of the metrics: wandb | mlflow | tensorboard (which TENSORBOARD.ENABLE adds). Server, "
        "project and offline mode are set by their own environment variables, as WANDB_MODE and MLFLOW_TRACKING_URI.",
        items="name",
        result=False,
        ours=True,
    ),
    "TRAIN.COMBINER.TYPE": Key(
        "default",
        "Training method: supervised | contrastive | mixup | cutmix | manifold_mixup | remix | bbn_mixup | "
        "distillation | subclass_contrastive. Released names are replaced by these when the config is loaded.",
    ),
    "TRAIN.COMBINER.ALPHA": Key(
        1.0,
        "Mixups: lam, the weight of an image in its mixture, is drawn from Beta(ALPHA, ALPHA).",
        positive=True,
        high=1e4,
    ),
    "TRAIN.COMBINER.PER_SAMPLE": Key(
        False,
        "Mixups: draw lam for each image; False, as released: one for the batch.",
        ours=True,
    ),
    "TRAIN.COMBINER.CUTMIX.PROBABILITY": Key(
        1.0,
        "cutmix: probability that a batch (PER_SAMPLE: an image) gets a box of another image; published: 0.5 on CIFAR, "
        "1 on ImageNet.",
        low=0,
        high=1,
        ours=True,
    ),
    "TRAIN.COMBINER.MANIFOLD_MIX_UP.LOCATION": Key(
        "pool",
        "What is mixed: pool (the features) | fc (the logits) | the output of a module of the backbone, as layer1 or "
        "layer2.0.",
    ),
    "TRAIN.COMBINER.REMIX.KAPPA": Key(
        3.0,
        "Imbalance ratio above which the smaller class takes the whole label.",
        positive=True,
    ),
    "TRAIN.COMBINER.REMIX.TAU": Key(
        0.5,
        "The larger class loses its label only if the weight of its image is below this.",
        low=0,
        high=1,
    ),
    "TRAIN.COMBINER.REMIX.RELEASED": Key(
        False,
        "True, as released: the weights of the labels are averaged over the batch. False: each mixture has its own, as "
        "in the paper.",
        ours=True,
    ),
    "TRAIN.COMBINER.DIVE.TEACHER_MODEL": Key(
        "",
        "Checkpoint of the teacher, a network of the student's architecture.",
        file="weights",
        when=("TRAIN.COMBINER.TYPE", None),
    ),
    **SUBCLASSES,
    "TRAIN.TWO_STAGE.DRW": Key(
        False,
        "Deferred re-weighting: class weights are used after START_EPOCH only.",
    ),
    "TRAIN.TWO_STAGE.DRS": Key(
        False,
        "Deferred re-sampling: the weighted sampler is used after START_EPOCH only.",
    ),
    "TRAIN.TWO_STAGE.START_EPOCH": Key(
        1,
        "Last epoch without them.",
        low=1,
        high=_EPOCHS,
    ),
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
        "Class-aware sampler: an epoch has as many images as the largest class times the number of classes (classes), "
        "or as there are training images (images).",
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
        "Decays of the two moments of Adam and AdamW. Optimizers of timm have defaults of their own, unless it is set.",
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
        "Sharpness-aware minimization (arXiv 2010.01412): length of the step, along the gradient over all parameters, "
        "to the weights whose gradient the optimizer is given; twice the cost of a step. 0: without.",
        low=0,
        high=100,
        ours=True,
    ),
    "TRAIN.LR_SCHEDULER.TYPE": Key(
        "multistep",
        "multistep | warmup (linear, then multistep) | cosine | warmup_cosine (linear from 0, then cosine) | "
        "ramp_cosine (cosine, whose first WARM_EPOCH epochs are replaced by a line, per step).",
    ),
    "TRAIN.LR_SCHEDULER.LR_STEP": Key(
        [40, 50],
        "Epochs from which the learning rate is multiplied by LR_FACTOR.",
        items="int",
        low=0,
        high=_EPOCHS,
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
        high=_EPOCHS,
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
        high=_EPOCHS,
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
    "METHOD.STATE": Key(
        "",
        "Checkpoint of which the training method takes its state (momentum encoder, queue, ...); empty: a new state.",
        file="weights",
        ours=True,
    ),
}
