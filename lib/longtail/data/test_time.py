"""Requirements of test-time augmentation (TEST.TTA): training with mirrored images, or room for crops."""

from yacs.config import CfgNode

from longtail.data.augment.policies import build_policy
from longtail.data.augment.steps import Chain, Policy, RandomFlip
from longtail.data.augment.transforms import CenterCrop, ResizeShorter
from longtail.data.loaders.build import build_evaluation_policy
from longtail.errors import UserError


def check_test_time(cfg: CfgNode) -> None:
    """Refuse a TEST.TTA that does not fit the augmentation of a config.

    Raises:
        UserError: flip, but training mirrors no images; or five_crops, but TEST_TRANSFORMS leave no room for them.
    """
    if cfg.TEST.TTA == "flip" and not any(_mirrors(build_policy(view, cfg)) for view in cfg.DATASET.VIEWS):
        raise UserError(
            f"TEST.TTA is 'flip', but DATASET.VIEWS {list(cfg.DATASET.VIEWS)} do not flip images, so the network was "
            "not trained on flipped ones; allowed: 'none', 'five_crops'"
        )
    if cfg.TEST.TTA == "five_crops":
        build_test_policy(cfg)
        if not takes_crops_of_resized(cfg) and not cfg.TRANSFORMS.PROCESS_DETAIL.RANDOM_CROP.PADDING:
            raise UserError(
                "TEST.TTA is 'five_crops', but TRANSFORMS.PROCESS_DETAIL.RANDOM_CROP.PADDING is 0, which leaves no "
                "room for crops of images that are not resized"
            )


def build_test_policy(cfg: CfgNode) -> Policy:
    """Return the policy of the images that are evaluated with TEST.TTA.

    It is that of the evaluation view. For five crops of images that TEST_TRANSFORMS resize, the center crop is replaced
    by a square of the shorter side (256 pixels for INPUT_SIZE 224), from which crops of INPUT_SIZE are taken.

    Raises:
        UserError: TEST_TRANSFORMS do not resize the shorter side and crop the center.
    """
    policy = build_evaluation_policy(cfg)
    if cfg.TEST.TTA != "five_crops" or not takes_crops_of_resized(cfg):
        return policy
    steps = policy.steps if isinstance(policy, Chain) else (policy,)
    lengths = [step.length for step in steps if isinstance(step, ResizeShorter)]
    if not lengths or not any(isinstance(step, CenterCrop) for step in steps):
        raise UserError(
            f"TEST.TTA is 'five_crops', but TRANSFORMS.TEST_TRANSFORMS {list(cfg.TRANSFORMS.TEST_TRANSFORMS)} leave no "
            "room for crops; they must contain shorter_resize_for_crop and center_crop"
        )
    square = CenterCrop((lengths[-1], lengths[-1]))
    return Chain([square if isinstance(step, CenterCrop) else step for step in steps])


def takes_crops_of_resized(cfg: CfgNode) -> bool:
    """Return whether five crops are taken from a resized image; otherwise the image is padded as for random crops."""
    return bool(cfg.DATASET.TEST_VIEW == "transforms")


def _mirrors(policy: Policy) -> bool:
    """Return whether a policy may flip images horizontally; True for an unknown one."""
    if not isinstance(policy, Chain):
        return True
    return any(isinstance(step, RandomFlip) and step.dim == -1 for step in policy.steps)
