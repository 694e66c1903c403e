"""Keys of the network: BACKBONE, MODULE, CLASSIFIER and NETWORK."""

from longtail.config.key import Key, Keys

NETWORK: Keys = {
    "BACKBONE.TYPE": Key(
        "res50",
        "Backbone of a network with one expert: res32_cifar | res10 | res50 | res152 | resnext50 | timm/<name of a "
        "model of timm>.",
    ),
    "BACKBONE.MULTI_NETWORK_TYPE": Key(
        [],
        "Backbone of each expert; empty: one expert with BACKBONE.TYPE. (NCL's default was ['res32_cifar'], which "
        "would change every Bag of Tricks file.)",
        items="name",
    ),
    "BACKBONE.FREEZE": Key(
        False,
        "Keep the parameters of the backbones fixed, as the heads cRT and LWS always do.",
    ),
    "BACKBONE.FROZEN_STATISTICS": Key(
        "still",
        "Batch norm of a frozen backbone: still (normalize by the stored statistics, which stay) | moving (as "
        "released: normalize by each batch's).",
        allowed=("still", "moving"),
        ours=True,
    ),
    "BACKBONE.INITIALIZATION": Key(
        "default",
        "Initial weights of convolutions: default (those of the backbone's release) | fan_out (Kaiming's normal ones "
        "by fan-out, as in torchvision's ResNets). Backbones of timm have their own.",
        allowed=("default", "fan_out"),
        ours=True,
    ),
    "BACKBONE.DROP_PATH": Key(
        0.0,
        "Stochastic depth of models of timm that have it: probability of dropping a residual branch of the last block; "
        "it grows linearly from 0 at the first one.",
        low=0,
        high=0.99,
        ours=True,
    ),
    "BACKBONE.LR_SCALE": Key(
        1.0,
        "Factor of the backbones' learning rate. 0 keeps their parameters while batch-norm statistics move, as CADEL "
        "trains on Places-LT.",
        low=0,
        high=1000,
        ours=True,
    ),
    "BACKBONE.PRETRAINED_TAG": Key(
        "",
        "Pretrained weights for backbones timm/<name>, which timm downloads: a tag of timm, for example augreg_in21k, "
        "or default. Image size and normalization that are taken from timm are those of this tag.",
        ours=True,
    ),
    "BACKBONE.ADAPTER": Key(
        "none",
        "Bottleneck in every block of a vision transformer of timm, trained even if the backbone is frozen: none | "
        "adaptformer (arXiv 2205.13535).",
        allowed=("none", "adaptformer"),
        ours=True,
    ),
    "BACKBONE.ADAPTER_RANK": Key(
        0,
        "Width of the bottleneck; 0: LIFT's rule, the largest power of two with which the adapters have no more "
        "weights than the head.",
        low=0,
        high=65536,
        ours=True,
    ),
    "BACKBONE.PRETRAINED_MODEL": Key(
        "",
        "Weights file for every backbone (PyTorch or safetensors): torchvision or timm names, or a checkpoint of this "
        "project.",
        file="weights",
    ),
    "MODULE.TYPE": Key(
        "GAP",
        "GAP: average over the feature map, if there is one | Identity: the backbone gives vectors.",
        allowed=("GAP", "Identity"),
    ),
    "CLASSIFIER.TYPE": Key(
        "FC",
        "Head: FC | FCNorm (cosine) | NormedLinear (FCNorm whose initial class weights have length 1) | cos (scaled "
        "cosine plus bias) | cosnorm (scaled cosine, features squashed to x / (1 + |x|)). Heads of a second stage, "
        "which start from NETWORK.PRETRAINED_MODEL: cRT (FC trained from scratch) | LWS (FC of which only a scale per "
        "class is trained).",
    ),
    "CLASSIFIER.BIAS": Key(
        True,
        "Whether FC, cRT and LWS have a bias, and whether the bias of cos is trained.",
    ),
    "CLASSIFIER.COS_SCALE": Key(
        16.0,
        "Scale of the cos and cosnorm heads.",
        positive=True,
        high=1e4,
    ),
    "CLASSIFIER.START": Key(
        "random",
        "Class weights at the start of a training: random | class_means (the mean features of the training images of "
        "each class, unit length; for heads of cosines).",
        allowed=("random", "class_means"),
        ours=True,
    ),
    "CLASSIFIER.SEMI_TYPE": Key(
        "mlp",
        "Projection head of contrastive learning: mlp | FC | FCNorm | cos.",
    ),
    "CLASSIFIER.MULTI_NETWORK_TYPE": Key(
        ["FC"],
        "Not used, as released.",
        items="name",
        result=False,
    ),
    "CLASSIFIER.NUM": Key(
        0,
        "Not used, as released.",
        low=0,
        result=False,
    ),
    "NETWORK.TYPE": Key(
        "experts",
        "Shape of the network: experts (one backbone and one head per expert) | cascade (one backbone, heads that "
        "branch off at taps).",
        ours=True,
    ),
    "NETWORK.SHARED_TO": Key(
        "",
        "Experts: the last stage of the backbones that all experts share, for example layer2; each expert has its own "
        "later stages and head. Empty: nothing is shared. For several residual networks of one kind, without momentum "
        "encoder.",
        ours=True,
    ),
    "NETWORK.CASCADE.TAPS": Key(
        [],
        "Cascade: intermediate outputs of the backbone from which branches start, in cascade order, for example layer2 "
        "or blocks.7; empty: after stages 2 and 3, or after blocks 7 and 9 of the 12 of a vision transformer.",
        items="name",
        ours=True,
    ),
    "NETWORK.CASCADE.WIDTH": Key(
        0,
        "Cascade: channels of the convolutions of a branch, whose features are twice as wide; 0: 128 for res32_cifar, "
        "else the width of the backbone's features.",
        low=0,
        high=65536,
        ours=True,
    ),
    "NETWORK.CASCADE.DEPTH": Key(
        2,
        "Cascade: transformer blocks of a branch.",
        low=1,
        high=1000,
        ours=True,
    ),
    "NETWORK.BRANCHES": Key(
        True,
        "Cascade: False leaves the branches out, so that the network has its main head only. CADEL's convolutional "
        "networks are evaluated by their main head; without the branches that is many times faster.",
        ours=True,
    ),
    "NETWORK.PRETRAINED": Key(
        False,
        "Start the whole network from PRETRAINED_MODEL.",
    ),
    "NETWORK.PRETRAINED_MODEL": Key(
        "",
        "Checkpoint of this project or of a released system, or a safetensors file of `longtail export`.",
        file="weights",
        when=("NETWORK.PRETRAINED", True),
    ),
    "NETWORK.LOAD_BACKBONE_ONLY": Key(
        False,
        "Load only the backbones of PRETRAINED_MODEL; the heads start from scratch.",
    ),
    "NETWORK.MIN_LOADED": Key(
        0.5,
        "Smallest fraction of the network's parameters that a weights file must fill (heads that start from scratch "
        "are not counted); less is refused as another architecture, and so are pretrained weights of a deeper "
        "backbone. 0 loads whatever fits.",
        low=0,
        high=1,
        result=False,
        ours=True,
    ),
    "NETWORK.PROJECTION_DIM": Key(
        0,
        "Width of projection heads without momentum encoder, for training methods that contrast the views of a batch "
        "with each other; 0: none. With NETWORK.MOCO, MOCO_DIM is the width.",
        low=0,
        high=65536,
        ours=True,
    ),
    "NETWORK.MOCO": Key(
        False,
        "Add projection heads, a momentum encoder and queues; for training methods that contrast with them.",
    ),
    "NETWORK.MOCO_RELEASED": Key(
        False,
        "True, as released: the momentum encoder and its projection head start from their own random weights, and the "
        "projection head is never updated. False: both start as copies of the trained ones and follow them.",
        ours=True,
    ),
    "NETWORK.MOCO_K": Key(
        65536,
        "Number of keys in a queue.",
        low=1,
    ),
    "NETWORK.MOCO_DIM": Key(
        128,
        "Width of a key. (The release repeats the queue length here; its files set 64 and 1024.)",
        low=1,
        high=65536,
    ),
    "NETWORK.MOCO_T": Key(
        0.07,
        "Temperature of the contrastive softmax. (SBCL has TRAIN.COMBINER.SUBCLASS.TEMPERATURE.)",
        positive=True,
        high=100,
    ),
    "NETWORK.MA_MODEL_ALPHA": Key(
        0.999,
        "Decay of the momentum encoder.",
        low=0,
        high=1,
    ),
}
