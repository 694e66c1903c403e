"""Keys of the training: TRAIN and METHOD."""

from longtail.config.key import MOST_EPOCHS, Key, Keys
from longtail.config.keys.optimization import OPTIMIZATION
from longtail.config.keys.sampling import SAMPLING
from longtail.config.keys.subclasses import SUBCLASSES

_PROCESSES = 4096

TRAINING: Keys = {
    "TRAIN.BATCH_SIZE": Key(
        32,
        "Images per step: in total under DataParallel, per process under DistributedDataParallel.",
        low=1,
        high=2**20,
    ),
    "TRAIN.MAX_EPOCH": Key(
        60,
        "Number of epochs.",
        low=1,
        high=MOST_EPOCHS,
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
        result=False,
    ),
    "TRAIN.SYNCBN": Key(
        False,
        "Batch-norm statistics over all processes, on GPUs. (The releases: always.)",
    ),
    "TRAIN.APEX": Key(
        False,
        "True in a Bag of Tricks file means TRAIN.AMP fp16. (Its default was True.)",
        result=False,
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
        "Compile each expert with torch.compile; needs a C++ compiler, and some time before the first step. Off, "
        "because on the CPU on which it was measured the gain was within the noise between runs.",
        ours=True,
    ),
    "TRAIN.CUDA_GRAPH": Key(
        "auto",
        "Record a step as a CUDA graph and replay it, with the experts one after another (loop) or in "
        "parallel streams (streams). auto: streams on one GPU with SGD and inputs of at most 64 pixels, for "
        "methods whose steps can be replayed (supervised, contrastive), otherwise off.",
        allowed=("auto", "off", "loop", "streams"),
        result=False,
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
        "Minutes that processes wait for one that does not respond before they stop; raise it for disks on which one "
        "process may wait longer than the others.",
        low=0.05,
        high=1e5,
        result=False,
        ours=True,
    ),
    "TRAIN.LOADER_TIMEOUT": Key(
        5.0,
        "Minutes to wait for a batch before the run stops with an error: dead workers, a lost network disk.",
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
        "project and offline mode are set by their own environment variables (WANDB_MODE, MLFLOW_TRACKING_URI, ...).",
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
        low=0.01,  # lam is 0.5 where the draws for a smaller one underflow
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
        "What is mixed: pool (the features) | fc (the logits) | the output of a module of the backbone, for example "
        "layer1 or layer2.0.",
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
        "Last epoch without them; 0: 80 % of MAX_EPOCH.",
        low=0,
        high=MOST_EPOCHS,
    ),
    **SAMPLING,
    **OPTIMIZATION,
    "METHOD.STATE": Key(
        "",
        "Checkpoint from which the training method takes its state (momentum encoder, queue, ...); empty: a new state.",
        file="weights",
        ours=True,
    ),
}
