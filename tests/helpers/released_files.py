"""The YAML files published with Bag of Tricks and NCL, rebuilt from what each of their groups sets.

Values are as the releases write them: rates such as `2e-4` (a string to YAML), tuples as the string "(32, 32)",
integers where the key is a float, empty sections. The names of the files are those of the groups.

Bag of Tricks has 176 files: 42 CIFAR groups of 4 files each, {CIFAR-10, CIFAR-100} x {imbalance 100, 50}, and 8 others.
The groups are 1 baseline, 11 re-weighting, 4 re-sampling, 3 mixup, 9 + 1 deferred re-weighting, 3 deferred
re-sampling, 5 CAM-based (first stage, generation, and a second stage for each of three samplers), 3 classifier balance,
2 distillation. The number of CAM-based groups is what the total leaves for them.
"""

import copy
from collections.abc import Iterator
from typing import Any

File = tuple[str, dict[str, Any]]
CIFAR = [("cifar10", 100), ("cifar10", 50), ("cifar100", 100), ("cifar100", 50)]


def _nested(settings: dict[str, Any]) -> dict[str, Any]:
    """Return dotted keys as nested dictionaries."""
    content: dict[str, Any] = {}
    for key, value in settings.items():
        *sections, last = key.split(".")
        node = content
        for section in sections:
            node = node.setdefault(section, {})
        node[last] = copy.deepcopy(value)
    return content


def flat(node: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested dictionaries as dotted keys."""
    found: dict[str, Any] = {}
    for key, value in node.items():
        found |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return found


def _cifar_base(name: str, data: str, factor: int) -> dict[str, Any]:
    return {
        "NAME": f"{data}_im{factor}_{name}",
        "OUTPUT_DIR": "output",
        "VALID_STEP": 1,
        "SAVE_STEP": 5,
        "SHOW_STEP": 100,
        "PIN_MEMORY": True,
        "INPUT_SIZE": "(32, 32)",
        "COLOR_SPACE": "RGB",
        "DATASET.DATASET": f"IMBALANCE{data.upper()}",
        "DATASET.IMBALANCECIFAR.RATIO": 1 / factor,
        "DATASET.IMBALANCECIFAR.RANDOM_SEED": 0,
        "BACKBONE.TYPE": "res32_cifar",
        "MODULE.TYPE": "GAP",
        "CLASSIFIER.TYPE": "FC",
        "CLASSIFIER.BIAS": True,
        "LOSS.LOSS_TYPE": "CrossEntropy",
        "TRAIN.BATCH_SIZE": 128,
        "TRAIN.SHUFFLE": True,
        "TRAIN.NUM_WORKERS": 16,
        "TRAIN.MAX_EPOCH": 200,
        "TRAIN.DISTRIBUTED": False,
        "TRAIN.COMBINER.TYPE": "default",
        "TRAIN.SAMPLER.TYPE": "default",
        "TRAIN.TENSORBOARD.ENABLE": True,
        "TRAIN.OPTIMIZER.TYPE": "SGD",
        "TRAIN.OPTIMIZER.BASE_LR": 0.1,
        "TRAIN.OPTIMIZER.MOMENTUM": 0.9,
        "TRAIN.OPTIMIZER.WEIGHT_DECAY": "2e-4",
        "TRAIN.LR_SCHEDULER.TYPE": "warmup",
        "TRAIN.LR_SCHEDULER.LR_STEP": [160, 180],
        "TRAIN.LR_SCHEDULER.LR_FACTOR": 0.01,
        "TRAIN.LR_SCHEDULER.WARM_EPOCH": 5,
        "TEST.BATCH_SIZE": 64,
        "TEST.NUM_WORKERS": 16,
        "TEST.MODEL_FILE": "",
    }


def _losses(data: str, factor: int) -> dict[str, dict[str, Any]]:
    ten = data == "cifar10"
    seql = 0.05 if ten else {100: 0.005, 50: 0.006}[factor]
    return {
        "bsce": {"LOSS.LOSS_TYPE": "BalancedSoftmaxCE"},
        "cbce": {"LOSS.LOSS_TYPE": "ClassBalanceCE", "LOSS.ClassBalanceCE.BETA": 0.9999 if ten else 0.9},
        "cbfocal": {
            "LOSS.LOSS_TYPE": "ClassBalanceFocal",
            "LOSS.ClassBalanceFocal.BETA": 0.9999 if ten else {100: 0.9, 50: 0.99}[factor],
            "LOSS.ClassBalanceFocal.GAMMA": 2.0 if (data, factor) == ("cifar10", 50) else 1.0,
        },
        "cdt": {"LOSS.LOSS_TYPE": "CDT", "LOSS.CDT.GAMMA": 0.2},
        "celas": {
            "LOSS.LOSS_TYPE": "CrossEntropyLabelAwareSmooth",
            "LOSS.CrossEntropyLabelAwareSmooth.SMOOTH_HEAD": 0.4,
            "LOSS.CrossEntropyLabelAwareSmooth.SMOOTH_TAIL": 0.1,
            "LOSS.CrossEntropyLabelAwareSmooth.SHAPE": "concave",
        },
        "cels": {"LOSS.LOSS_TYPE": "CrossEntropyLabelSmooth", "LOSS.CrossEntropyLabelSmooth.EPSILON": 0.1},
        "csce": {"LOSS.LOSS_TYPE": "CostSensitiveCE", "LOSS.CostSensitiveCE.GAMMA": 1.0},
        "csce_square": {
            "LOSS.LOSS_TYPE": "CostSensitiveCE",
            "LOSS.CostSensitiveCE.GAMMA": 1.0 if (data, factor) == ("cifar10", 100) else 0.5,
        },
        "focal": {"LOSS.LOSS_TYPE": "FocalLoss", "LOSS.FocalLoss.GAMMA": 2},
        "ldam": {
            "CLASSIFIER.TYPE": "FCNorm",
            "LOSS.LOSS_TYPE": "LDAMLoss",
            "LOSS.LDAMLoss.SCALE": 30,
            "LOSS.LDAMLoss.MAX_MARGIN": 0.5,
        },
        "seql": {"LOSS.LOSS_TYPE": "SEQL", "LOSS.SEQL.GAMMA": 0.9, "LOSS.SEQL.LAMBDA": seql},
    }


def _weighted(kind: str) -> dict[str, Any]:
    return {"TRAIN.SAMPLER.TYPE": "weighted sampler", "TRAIN.SAMPLER.WEIGHTED_SAMPLER.TYPE": kind}


def _stage(epochs: int, steps: list[int], rate: Any = 0.1, factor: float = 0.01) -> dict[str, Any]:
    return {
        "TRAIN.MAX_EPOCH": epochs,
        "TRAIN.OPTIMIZER.BASE_LR": rate,
        "TRAIN.LR_SCHEDULER.LR_STEP": steps,
        "TRAIN.LR_SCHEDULER.LR_FACTOR": factor,
    }


def _deferred(way: str, start: int = 160) -> dict[str, Any]:
    return {f"TRAIN.TWO_STAGE.{way}": True, "TRAIN.TWO_STAGE.START_EPOCH": start}


def _from(weights: str) -> dict[str, Any]:
    return {"NETWORK.PRETRAINED": True, "NETWORK.PRETRAINED_MODEL": weights}


CAM = {
    "DATASET.CAM_DATA_JSON_SAVE_PATH": "cam/cam_based.json",
    "DATASET.CAM_DATA_SAVE_PATH": "cam/images",
}
SAMPLERS = ("balance", "square", "progressive")


def _cifar_groups(data: str, factor: int) -> Iterator[File]:
    """Yield (group, differences from the base) of one data set."""
    losses = _losses(data, factor)
    hundred = data == "cifar100"
    yield "baseline", {}
    for name, loss in losses.items():
        yield f"re_weighting/{name}", loss | ({"TRAIN.APEX": False} if name == "celas" else {})
    for kind in SAMPLERS:
        yield f"re_sampling/{kind}", _weighted(kind)
    yield (
        "re_sampling/bbn",
        {"TRAIN.SAMPLER.TYPE": "bbn sampler", "TRAIN.SAMPLER.BBN_SAMPLER.TYPE": "reverse", "TRAIN.BATCH_SIZE": 64},
    )
    long = _stage(400, [320, 360]) | {"TRAIN.COMBINER.ALPHA": 1.0}
    yield "mixup/input_mixup", long | {"TRAIN.COMBINER.TYPE": "mix_up"}
    yield (
        "mixup/manifold_mixup",
        long | {"TRAIN.COMBINER.TYPE": "manifold_mix_up", "TRAIN.COMBINER.MANIFOLD_MIX_UP.LOCATION": "pool"},
    )
    yield (
        "mixup/remix",
        long | {"TRAIN.COMBINER.TYPE": "remix", "TRAIN.COMBINER.REMIX.KAPPA": 3.0, "TRAIN.COMBINER.REMIX.TAU": 0.5},
    )
    for name in ("bsce", "cbce", "cbfocal", "cdt", "celas", "cels", "csce", "focal", "ldam"):
        yield f"two_stage/drw/{name}", losses[name] | _deferred("DRW")
    yield (
        "two_stage/drw/ibloss",
        _deferred("DRW", 100)
        | {"LOSS.LOSS_TYPE": "InfluenceBalancedLoss", "LOSS.InfluenceBalancedLoss.ALPHA": "1000."}
        | {"TRAIN.LR_SCHEDULER.LR_STEP": [100, 160, 180]},
    )
    for kind in SAMPLERS:
        yield f"two_stage/drs/{kind}", _weighted(kind) | _deferred("DRS")
    cam = "two_stage/drs/cam_based_sampling"
    yield f"{cam}/first_stage", _stage(160, [160, 180])
    yield f"{cam}/generate", {"DATASET.GENERATE_CAM_BASED_DATASET": True} | CAM | _from("first_stage/best_model.pth")
    schedule = "warmup" if (data, factor) == ("cifar100", 100) else "multistep"
    second = (
        {"DATASET.USE_CAM_BASED_DATASET": True, "TRAIN.LR_SCHEDULER.TYPE": schedule}
        | CAM
        | _from("first_stage/epoch_160.pth")
        | _stage(40, [20], 0.001)
    )
    for kind in SAMPLERS:
        yield f"{cam}/second_stage_{kind}", second | _weighted(kind)
    for head in ("cRT", "LWS"):
        yield (
            f"two_stage/classifier_balance/{head}",
            _from("baseline/epoch_200.pth")
            | _stage(30, [10, 20], 0.1, 0.1)
            | _weighted("balance")
            | {"CLASSIFIER.TYPE": head, "TRAIN.OPTIMIZER.WEIGHT_DECAY": "5e-4"}
            | ({"TRAIN.APEX": False} if hundred else {}),
        )
    yield (
        "two_stage/classifier_balance/tau_norm",
        {"TEST.TAU_NORM.USE_TAU_NORM": True, "TEST.TAU_NORM.TAU": 1.0, "TEST.MODEL_FILE": "models/epoch_200.pth"},
    )
    yield "DiVE/teacher", losses["bsce"] | {"TRAIN.LR_SCHEDULER.LR_STEP": [120, 160]}
    yield (
        "DiVE/student",
        {
            "LOSS.LOSS_TYPE": "DiVEKLD",
            "LOSS.DiVEKLD.TEMPERATURE": 2.0,
            "LOSS.DiVEKLD.POWER_NORM": True,
            "LOSS.DiVEKLD.POWER": 0.5,
            "LOSS.DiVEKLD.ALPHA": 0.5,
            "LOSS.DiVEKLD.BASELOSS": "BalancedSoftmaxCE",
            "TRAIN.COMBINER.TYPE": "dive",
            "TRAIN.COMBINER.DIVE.TEACHER_MODEL": "teacher/models/epoch_200.pth",
        },
    )


def _large_base(name: str, data: str, backbone: str) -> dict[str, Any]:
    return {
        "NAME": name,
        "DATASET.DATASET": "iNaturalist",
        "DATASET.TRAIN_JSON": f"{data}/train.json",
        "DATASET.VALID_JSON": f"{data}/test.json",
        "INPUT_SIZE": "(224, 224)",
        "BACKBONE.TYPE": backbone,
        "LOSS.LOSS_TYPE": "CrossEntropy",
        "TRAIN.MAX_EPOCH": 100,
        "TRAIN.NUM_WORKERS": 8,
        "TRAIN.OPTIMIZER.TYPE": "SGD",
        "TRAIN.OPTIMIZER.BASE_LR": 0.2,
        "TRAIN.OPTIMIZER.WEIGHT_DECAY": "1e-4",
        "TRAIN.LR_SCHEDULER.TYPE": "multistep",
        "TRAIN.LR_SCHEDULER.LR_STEP": [60, 80],
        "TRAIN.LR_SCHEDULER.LR_FACTOR": 0.1,
    }


def _large() -> Iterator[File]:
    """Yield (file, settings) of ImageNet-LT and iNaturalist 2018."""
    transforms = {"TRANSFORMS.TRAIN_TRANSFORMS": "('random_resized_crop', 'random_horizontal_flip', 'color_jitter')"}
    imagenet = _large_base("imagenetlt_baseline", "ImageNet_LT", "res10") | transforms | {"TRAIN.BATCH_SIZE": 512}
    yield "ImageNet_LT/imagenetlt_baseline", imagenet
    mixup = {"TRAIN.COMBINER.TYPE": "mix_up", "TRAIN.COMBINER.ALPHA": 1.0}
    cam = CAM | {"DATASET.CAM_NUMBER_THRES": 100}
    stages = {
        "first_stage": mixup | _stage(160, [120, 160], 0.2, 0.1),
        "generate": cam | {"DATASET.GENERATE_CAM_BASED_DATASET": True} | _from("first_stage/best_model.pth"),
        "second_stage": mixup
        | cam
        | _weighted("balance")
        | {"DATASET.USE_CAM_BASED_DATASET": True}
        | _from("first_stage/epoch_160.pth")
        | _stage(40, [40], 0.002, 0.1),
        "third_stage": _weighted("balance") | _from("second_stage/epoch_40.pth") | _stage(20, [8, 16], 0.002, 0.1),
    }
    for stage, settings in stages.items():
        yield f"ImageNet_LT/combinations/{stage}", imagenet | settings
    inat = _large_base("iNat18_baseline", "iNat18", "res50")
    yield "iNat18/iNat18_baseline", inat | {"TRAIN.BATCH_SIZE": 128, "TRAIN.DISTRIBUTED": True}


def bag_of_tricks_files() -> Iterator[File]:
    """Yield (name, content) of each of the 176 files."""
    for data, factor in CIFAR:
        for group, settings in _cifar_groups(data, factor):
            name = group.rsplit("/", 1)[-1]
            base = _cifar_base(name, data, factor)
            yield f"{group}/{data}_im{factor}", _nested(base | settings)
    for file, settings in _large():
        yield file, _nested(settings)
    for file in ("data_parallel", "distributed_data_parallel"):
        yield f"test/{file}", _nested(_cifar_base("baseline", "cifar10", 50))


# file, data set, experts, head, HCM_N, epochs, batch, rate, milestones (None: cosine)
NCL = [
    ("cifar100_im100_NCL", "MULTI_NETWORK_CIFAR_AUGPLIS", ["res32_cifar"] * 3, "FC", 30, 400, 64, 0.1, [320, 360]),
    (
        "cifar100_im100_NCL_with_contrastive",
        "MULTI_NETWORK_CIFAR_MOCO_AUGPLIS",
        ["res32_cifar"] * 3,
        "FC",
        30,
        400,
        64,
        0.1,
        [320, 360],
    ),
    (
        "cifar100_im100_NCL++",
        "MULTI_NETWORK_CIFAR_AUGPLIS_NCL_PLUS",
        ["res32_cifar"] * 2,
        "FC",
        30,
        400,
        64,
        0.1,
        [320, 360],
    ),
    ("ImageNet_LT", "ImageNet_LT", ["res50"] * 3, "cos", 300, 200, 64, 0.2, None),
    ("inat18_NCL", "iNaturalist", ["res50"] * 3, "cos", 2442, 400, 64, 0.2, None),
    ("Places_LT_NCL", "Places_LT_MOCO", ["res152"] * 3, "cos", 122, 30, 32, 0.02, [10, 20]),
]


def ncl_files() -> Iterator[File]:
    """Yield (name, content) of each of the 6 files."""
    for name, data, experts, head, hard, epochs, batch, rate, milestones in NCL:
        settings: dict[str, Any] = {
            "NAME": name,
            "RAND_SEED": 42,
            "DATASET.DATASET": data,
            "DATASET.TRAIN_JSON": "train.json",
            "DATASET.VALID_JSON": "valid.json",
            "DATASET.IMBALANCECIFAR": None,
            "BACKBONE.TYPE": experts[0],
            "BACKBONE.MULTI_NETWORK_TYPE": experts,
            "CLASSIFIER.TYPE": head,
            "LOSS.LOSS_TYPE": "NIL_NBOD_plus" if name.endswith("++") else "NIL_NBOD",
            "LOSS.HCM_N": hard,
            "LOSS.CE_RATIO": 1,
            "LOSS.HCM_RATIO": 1,
            "LOSS.MULTI_CLASIIFIER_LOSS.DIVERSITY_FACTOR": 0.6,
            "LOSS.MULTI_CLASIIFIER_LOSS.DIVERSITY_FACTOR_HCM": 0.6,
            "TRAIN.BATCH_SIZE": batch,
            "TRAIN.MAX_EPOCH": epochs,
            "TRAIN.DISTRIBUTED": "cifar" not in name,
            "TRAIN.COMBINER.TYPE": "multi_network_default",
            "TRAIN.SAMPLER.MULTI_NETWORK_TYPE": ["default"],
            "TRAIN.OPTIMIZER.BASE_LR": rate,
            "TRAIN.OPTIMIZER.MOMENTUM": 0.9,
            "TRAIN.OPTIMIZER.WEIGHT_DECAY": "2e-4",
        }
        if milestones is None:
            settings |= {"TRAIN.LR_SCHEDULER.TYPE": "cosine", "TRAIN.LR_SCHEDULER.COSINE_DECAY_END": epochs}
        else:
            settings |= {
                "TRAIN.LR_SCHEDULER.TYPE": "warmup",
                "TRAIN.LR_SCHEDULER.LR_STEP": milestones,
                "TRAIN.LR_SCHEDULER.LR_FACTOR": 0.1,
                "TRAIN.LR_SCHEDULER.WARM_EPOCH": 5,
            }
        if head == "cos":
            settings["CLASSIFIER.COS_SCALE"] = 32 if data == "iNaturalist" else 16
        if "MOCO" in data:
            places = data.startswith("Places")
            settings |= {
                "TRAIN.COMBINER.TYPE": "multi_network_default_CON",
                "LOSS.CON_RATIO": 1.0,
                "NETWORK.MOCO": True,
                "NETWORK.MOCO_K": 65536 if places else 1024,
                "NETWORK.MOCO_T": 0.2,
                "NETWORK.MOCO_DIM": 1024 if places else 64,
            }
        if name.endswith("++"):
            settings["DATASET.INTRA_N"] = 4
        yield name, _nested(settings)
