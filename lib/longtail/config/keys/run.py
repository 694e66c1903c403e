"""Keys of the run as a whole."""

from longtail.config.key import Key, Keys

RUN: Keys = {
    "NAME": Key(
        "default",
        "Name of the experiment; a run is written to OUTPUT_DIR/NAME/<date-time>/.",
    ),
    "OUTPUT_DIR": Key(
        "output",
        "Root folder of everything that is written.",
        result=False,
        file="folder",
    ),
    "RAND_SEED": Key(
        42,
        "Seed of the initial weights, the order of the samples and the augmentation.",
        low=0,
        high=2**32 - 1,
    ),
    "VALID_STEP": Key(
        5,
        "Evaluate every this many epochs, and after the last one; -1: after the last one only.",
        low=1,
        never=-1,
    ),
    "SAVE_STEP": Key(
        5,
        "Keep models/epoch_N.pth every this many epochs; -1: never. last.pth is written after every epoch.",
        low=1,
        never=-1,
        result=False,
    ),
    "SHOW_STEP": Key(
        20,
        "Report progress every this many steps.",
        low=1,
        result=False,
    ),
    "PIN_MEMORY": Key(
        True,
        "Load batches into page-locked memory, for faster copies to a GPU.",
        result=False,
    ),
    "INPUT_SIZE": Key(
        (224, 224),
        "Image height and width, in pixels, made by `transforms` and by the policies for large images. Backbones that "
        "must know their image size are built for it. 0, 0: the size that timm describes for the backbone.",
        items="int",
        low=0,
        high=16384,
        length=2,
    ),
    "COLOR_SPACE": Key(
        "RGB",
        "Order of the image channels.",
        allowed=("RGB", "BGR"),
    ),
    "RESUME_MODEL": Key(
        "",
        "Checkpoint to start from. The option --resume of the command line has priority.",
        result=False,
        file="weights",
        when=("RESUME_MODE", "state_dict"),
    ),
    "RESUME_MODE": Key(
        "all",
        "all: resume the run of RESUME_MODEL; state_dict: only take its weights.",
        allowed=("all", "state_dict"),
        result=False,
    ),
    "EVAL_MODE": Key(
        False,
        "Train with frozen batch-norm statistics.",
    ),
    "CLASSES_NUM": Key(
        100,
        "Not used, as released: the data decide how many classes there are.",
        low=0,
        result=False,
    ),
    "DROPOUT": Key(
        False,
        "Dropout with p = 0.5 before every classifier.",
    ),
}
