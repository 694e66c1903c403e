"""Keys of the data: DATASET and TRANSFORMS."""

from longtail.config.key import Key, Keys

_PIXELS = 16384

DATA: Keys = {
    "DATASET.DATASET": Key(
        "IMBALANCEDCIFAR10",
        "Data source: annotations | own | cifar10_lt | cifar100_lt | digits_lt. A released data set name is replaced "
        "by the source, views and normalization that it stands for when the config is loaded.",
    ),
    "DATASET.ROOT": Key(
        "",
        "Folder of relative image paths, and of the archives of CIFAR. Empty: the folder of the "
        "annotation file; for CIFAR, dataset/cifar. With `own`: the folder of classes or of splits, or a list (.csv, "
        ".txt); the paths of annotation files are then relative to these files.",
        file="folder",
    ),
    "DATASET.TRAIN_JSON": Key(
        "",
        "Annotation file of the training images. With cifar10_lt and cifar100_lt it may be empty (the archive is used) "
        "or not (it is used instead of the archive).",
        file="annotations",
    ),
    "DATASET.VALID_JSON": Key(
        "",
        "Annotation file of the validation images. Empty: those of the data set.",
        file="annotations",
    ),
    "DATASET.TEST_JSON": Key(
        "",
        "Annotation file of the test images; empty: there is no third split.",
        file="annotations",
        ours=True,
    ),
    "DATASET.HOLD_OUT.VALID": Key(
        0.2,
        "With `own`: validation images of each class: a fraction (below 1) or a number (1 or more), as far as KEEP "
        "allows. Not used if the images are already split.",
        low=0,
        high=100_000,
        ours=True,
    ),
    "DATASET.HOLD_OUT.TEST": Key(
        0.0,
        "Test images of each class, a fraction or a number as VALID; 0: none.",
        low=0,
        high=100_000,
        ours=True,
    ),
    "DATASET.HOLD_OUT.KEEP": Key(
        1,
        "Smallest number of training images that each class keeps.",
        low=1,
        high=100_000,
        ours=True,
    ),
    "DATASET.HOLD_OUT.SEED": Key(
        0,
        "Seed that decides which images are held out.",
        low=0,
        high=2**32 - 1,
        ours=True,
    ),
    "DATASET.HOLD_OUT.FOLDS": Key(
        0,
        "Number of folds of a cross-validation, at least 2; the validation images are then those of FOLD, and VALID is "
        "not used. 0: no folds.",
        low=0,
        high=1000,
        ours=True,
    ),
    "DATASET.HOLD_OUT.FOLD": Key(
        1,
        "Fold of the validation images, from 1 to FOLDS. Every image is a validation image in one fold.",
        low=1,
        high=1000,
        ours=True,
    ),
    "DATASET.HOLD_OUT.GROUP": Key(
        "group",
        "Images that are held out together: those with the same value in this column of a CSV list (`group` need not "
        "exist), or folder: those of the same folder. Empty: every image by itself.",
        ours=True,
    ),
    "DATASET.DOWNLOAD": Key(
        True,
        "Download the archives of CIFAR if they are not under ROOT.",
        ours=True,
    ),
    "DATASET.VIEWS": Key(
        [],
        "Augmentation policy of each view of a training image: crop | crop_flip | autoaugment | simclr | supcon | "
        "randaugment | regular | simclr_imagenet | moco_v2 | transforms | none. Empty: crop_flip. A single one is "
        "repeated INTRA_N times.",
        items="name",
        ours=True,
    ),
    "DATASET.TEST_VIEW": Key(
        "",
        "View of a validation image: none, or transforms (TRANSFORMS.TEST_TRANSFORMS). Empty: none.",
        allowed=("", "none", "transforms"),
        ours=True,
    ),
    "DATASET.NORMALIZATION": Key(
        "",
        "Mean and std of the channels: cifar | imagenet | inaturalist | digits | backbone (as timm describes it). "
        "Empty: cifar.",
        ours=True,
    ),
    "DATASET.ON_BAD_IMAGE": Key(
        "raise",
        "What an image file that cannot be read does: end the run (raise), or be replaced by the next image of its "
        "class, logged and counted (skip).",
        allowed=("raise", "skip"),
        ours=True,
    ),
    "DATASET.BAD_IMAGE_LIMIT": Key(
        10,
        "Largest number of files that `skip` may skip. A few may be broken downloads; more indicate a wrong ROOT or a "
        "failing disk.",
        low=1,
        ours=True,
    ),
    "DATASET.CACHE": Key(
        "none",
        "Image files larger than 64 pixels are decoded from disk each time (none), or from their bytes, which are read "
        "into memory first (ram).",
        allowed=("none", "ram"),
        ours=True,
    ),
    "DATASET.LOADER": Key(
        "pillow",
        "How image files larger than 64 pixels are decoded and augmented, with the same random numbers: as released, "
        "with Pillow and PyTorch (pillow), or with simplejpeg and OpenCV (fast). Crops are equal; colors differ by at "
        "most 2 gray levels, blurred and rotated images by a little more.",
        allowed=("pillow", "fast"),
        ours=True,
    ),
    "DATASET.ON_DEVICE": Key(
        True,
        "Keep the images of small-image data sets in the memory of the GPU and augment them there. No effect on a CPU.",
        result=False,
        ours=True,
    ),
    "DATASET.INTRA_N": Key(
        1,
        "Number of independently augmented views of each image (NCL++).",
        low=1,
        high=64,
    ),
    "DATASET.IMBALANCECIFAR.RATIO": Key(
        0.01,
        "Size of the smallest class divided by that of the largest, 1 / imbalance factor, for CIFAR and the digits.",
        positive=True,
        high=1,
    ),
    "DATASET.IMBALANCECIFAR.RANDOM_SEED": Key(
        0,
        "Seed that decides which images are kept.",
        low=0,
        high=2**32 - 1,
    ),
    "DATASET.IMBALANCECIFAR.KIND": Key(
        "exp",
        "Shape of the class sizes.",
        allowed=("exp", "step"),
        ours=True,
    ),
    "DATASET.GENERATE_CAM_BASED_DATASET": Key(
        False,
        "CAM-based sampling: generate the images, then stop.",
    ),
    "DATASET.USE_CAM_BASED_DATASET": Key(
        False,
        "CAM-based sampling: the weighted samplers draw from the generated images too.",
    ),
    "DATASET.CAM_DATA_JSON_SAVE_PATH": Key(
        "",
        "Annotation file of the generated images.",
        file="images",
        when=("DATASET.USE_CAM_BASED_DATASET", True),
    ),
    "DATASET.CAM_DATA_SAVE_PATH": Key(
        "",
        "Folder of the generated images.",
        file="folder",
    ),
    "DATASET.CAM_NUMBER_THRES": Key(
        0,
        "Classes with at least this many images get no generated images; the others get up to this many in addition. "
        "Not used for small images (CIFAR, digits), whose classes are all filled up.",
        low=0,
    ),
    "DATASET.CAM_RELEASED": Key(
        False,
        "True, as released: the class activation map is that of an augmented view, which does not match the image, and "
        "the box ends at the object's second row and column. False: the map is that of the image itself, and the box "
        "holds the whole object.",
        ours=True,
    ),
    "TRANSFORMS.TRAIN_TRANSFORMS": Key(
        ("random_resized_crop", "random_horizontal_flip"),
        "Steps of the `transforms` policy for training images, in this order: names, or any transform of "
        "torchvision.transforms.v2 with its arguments, for example 'v2.ColorJitter(brightness=0.4)'.",
        items="name",
    ),
    "TRANSFORMS.TEST_TRANSFORMS": Key(
        ("shorter_resize_for_crop", "center_crop"),
        "Steps of the `transforms` view of validation images, in this order.",
        items="name",
    ),
    "TRANSFORMS.MULTI_AUG": Key(
        False,
        "Not used, as released.",
        result=False,
    ),
    "TRANSFORMS.PROCESS_DETAIL.RANDOM_CROP.PADDING": Key(
        4,
        "Black border added before cropping, in pixels.",
        low=0,
        high=_PIXELS,
    ),
    "TRANSFORMS.PROCESS_DETAIL.RANDOM_RESIZED_CROP.SCALE": Key(
        (0.08, 1.0),
        "Smallest and largest area of the crop, as a fraction of the image's.",
        items="float",
        positive=True,
        high=1,
        length=2,
        rising=True,
    ),
    "TRANSFORMS.PROCESS_DETAIL.RANDOM_RESIZED_CROP.RATIO": Key(
        (0.75, 1.333333333),
        "Smallest and largest width / height of the crop.",
        items="float",
        low=0.01,
        high=100,
        length=2,
        rising=True,
    ),
}
