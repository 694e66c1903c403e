"""The stage that generates the images of CAM-based sampling (Bag of Tricks, AAAI 2021), for a later training."""

import logging
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from yacs.config import CfgNode

from longtail.config import expert_backbones, to_yaml
from longtail.data import ImageSet, Normalize, build_evaluation_policy, build_normalize, build_splits
from longtail.data.augment import build_policy
from longtail.data.augment.placement import Axis, map_to_image, view_axes
from longtail.data.cam.annotations import check_generation
from longtail.data.cam.images import paste_foreground
from longtail.data.cam.plan import GenerationPlan, generated_per_class
from longtail.data.images.reading import image_size
from longtail.distributed import Place
from longtail.engine.interrupts import Interrupted, Interrupts
from longtail.errors import UserError
from longtail.files import sha256
from longtail.models import Cascade, Expert, build_model, check_finite, load_released_weights
from longtail.models.activation_maps import activation_maps
from longtail.processors import available_processors
from longtail.runs.progress import Progress, clock
from longtail.stages.checks import check_network_and_data
from longtail.stages.generation_folder import GenerationFolder
from longtail.stages.network import in_layout, read_trained
from longtail.user_files import translating

logger = logging.getLogger(__name__)

CHUNK = 256  # images generated at a time; fixed, so that the network's batches do not depend on where a run resumed
QUALITY = 95  # quality of JPEG files, as released

# (image (3, H, W), number k) -> view (3, h, w), its rows, its columns
View = Callable[[Tensor, int], tuple[Tensor, Axis, Axis]]


def generate(cfg: CfgNode, *, place: Place) -> Path:
    """Generate images of rare classes by transforming and pasting their objects (see `longtail.data.cam`).

    With small images (such as CIFAR), every class is filled up to n_max + n_min images. Otherwise classes with fewer
    than DATASET.CAM_NUMBER_THRES images get as many in addition, but at most that number. The maps are those of the
    first expert of the network NETWORK.PRETRAINED_MODEL, or of the main head of a cascade. Image k depends only on the
    seed and k: a generation that was stopped resumes, and a finished one does nothing.

    Args:
        cfg: Config; DATASET.GENERATE_CAM_BASED_DATASET may be False.
        place: Processes and devices; process 0 generates the images.

    Returns:
        The annotation file, DATASET.CAM_DATA_JSON_SAVE_PATH.

    Raises:
        UserError: Something is missing in the config, the weights do not fit, no image is to be generated, or images of
            other inputs exist.
        Interrupted: A signal stopped it; the same command resumes.
    """
    target = Path(cfg.DATASET.CAM_DATA_JSON_SAVE_PATH)
    if not place.main:
        return target
    check_network_and_data(cfg)
    check_generation(cfg)
    images = build_splits(cfg, generated=False).train
    pixels = images.load()
    small = isinstance(pixels, Tensor)
    plan = GenerationPlan(images.labels, _per_class(cfg, images, small=small), seed=cfg.RAND_SEED)
    suffix = ".png" if small and not cfg.DATASET.CAM_RELEASED else ".jpg"  # lossless for small images
    inputs = _inputs(cfg, images, plan=plan)
    folder = GenerationFolder(Path(cfg.DATASET.CAM_DATA_SAVE_PATH), target, inputs=inputs, suffix=suffix)
    if folder.finished(len(plan)):
        logger.info("%s lists all %s images; there is nothing to do", target, f"{len(plan):,}")
        return target
    device = place.devices[0]
    expert = _expert(cfg, images.num_classes).to(device).eval()
    folder.claim(to_yaml(cfg))
    try:
        _Generator(cfg, expert, device=device, plan=plan, folder=folder).run(pixels)
        labels = [plan[k].label for k in range(len(plan))]
        sizes = [image_size(folder.file(k)) for k in range(len(plan))]
        folder.finish(labels, sizes, num_classes=images.num_classes)
    finally:
        folder.unlock()
    logger.info("%s lists %s images in %s", target, f"{len(plan):,}", folder.path)
    return target


class _Generator:
    """Generates the images of a plan.

    Args:
        cfg: Config.
        expert: Trained expert, on the device.
        device: Device of the expert.
        plan: Images to generate.
        folder: Folder to which they are written.
    """

    def __init__(
        self, cfg: CfgNode, expert: Expert, *, device: torch.device, plan: GenerationPlan, folder: GenerationFolder
    ) -> None:
        self.expert = expert
        self.device = device
        self.plan = plan
        self.folder = folder
        self.normalize: Normalize = build_normalize(cfg)
        self.released: bool = cfg.DATASET.CAM_RELEASED
        self.batch_size: int = cfg.TEST.BATCH_SIZE
        self.view = _augmented_view(cfg, plan) if self.released else _evaluation_view(cfg)

    def run(self, pixels: Any) -> None:
        """Generate the images that do not exist yet.

        Args:
            pixels: Images of the training set, (N, 3, H, W) or image files; `pixels[i]` is (3, H, W) uint8.

        Raises:
            Interrupted: A signal asked to stop.
        """
        existing, total = self.folder.present(), len(self.plan)
        chunks = [range(first, min(first + CHUNK, total)) for first in range(0, total, CHUNK)]
        todo = [chunk for chunk in chunks if any(self.folder.file(k).name not in existing for k in chunk)]
        resumed = f", of which {len(existing):,} exist" if existing else ""
        logger.info("generating %s images in %s%s", f"{total:,}", self.folder.path, resumed)
        logger.info("per class: %s", _spell(self.plan.per_class))
        progress = Progress("CAM-based images", len(chunks), done=len(chunks) - len(todo))
        threads = min(8, available_processors())
        with Interrupts() as interrupts, ThreadPoolExecutor(threads) as pool:
            try:
                for number, chunk in enumerate(todo):
                    if interrupts.received is not None:
                        break
                    missing = [k for k in chunk if self.folder.file(k).name not in existing]
                    self._chunk(chunk, missing, pixels=pixels, pool=pool)
                    progress.advance(len(missing))
                    if progress.bar is None and (number + 1) % -(-len(todo) // 10) == 0:
                        left = (len(todo) - number - 1) * progress.seconds() / (number + 1)
                        logger.info("  %.0f images/s, ETA %s", progress.rate(), clock(left))
            finally:
                progress.close()
        if interrupts.received is not None:
            raise Interrupted(interrupts.received, "the same command resumes the generation")

    def _chunk(self, chunk: Sequence[int], missing: list[int], *, pixels: Any, pool: ThreadPoolExecutor) -> None:
        """Generate the missing images of a chunk; maps are computed for the whole chunk, so that batches are fixed."""
        plans = {k: self.plan[k] for k in chunk}
        sources = list(dict.fromkeys(plan.source for plan in plans.values()))
        originals = dict(zip(sources, pool.map(lambda index: pixels[index], sources), strict=True))
        # Without augmentation, all images of one original share its map.
        views = {k if self.released else plan.source: k for k, plan in plans.items()}
        maps = self._maps({key: (originals[plans[k].source], plans[k].label, k) for key, k in views.items()})

        def make(k: int) -> None:
            plan = plans[k]
            cam = maps[k if self.released else plan.source]
            image = paste_foreground(originals[plan.source], cam, transform=plan.transform, released=self.released)
            _write(self.folder.file(k), image)

        for _ in pool.map(make, missing):
            pass
        with translating(self.folder.path, "folder"):
            self.folder.record(missing)

    def _maps(self, wanted: dict[int, tuple[Tensor, int, int]]) -> dict[int, Tensor]:
        """Return the class activation map (H, W) for each (image (3, H, W), label, k)."""
        views = {key: self.view(image, k) for key, (image, _, k) in wanted.items()}
        shapes: dict[tuple[int, ...], list[int]] = {}
        for key, (view, _, _) in views.items():
            shapes.setdefault(tuple(view.shape), []).append(key)
        found: dict[int, Tensor] = {}
        for keys in shapes.values():
            for first in range(0, len(keys), self.batch_size):
                batch = keys[first : first + self.batch_size]
                stacked = self.normalize(torch.stack([views[key][0] for key in batch])[None].to(self.device))[0]
                labels = torch.tensor([wanted[key][1] for key in batch], device=self.device)
                maps = activation_maps(self.expert, stacked, labels=labels)
                found.update(zip(batch, maps.cpu(), strict=True))
        return {
            key: map_to_image(
                found[key], rows=views[key][1], columns=views[key][2], size=(image.shape[1], image.shape[2])
            )
            for key, (image, _, _) in wanted.items()
        }


def _per_class(cfg: CfgNode, images: ImageSet, *, small: bool) -> list[int]:
    """Return how many images each class gets."""
    threshold = None if small else cfg.DATASET.CAM_NUMBER_THRES
    if small and cfg.DATASET.CAM_NUMBER_THRES:
        logger.warning("DATASET.CAM_NUMBER_THRES is not used for small images: every class is filled up")
    numbers = generated_per_class(images.class_counts(), threshold)
    if sum(numbers) == 0:
        raise UserError(
            f"DATASET.CAM_NUMBER_THRES is {threshold}, but no class of {images.name} has fewer images; set it above "
            "the size of the classes that need images"
        )
    return numbers


def _spell(numbers: list[int]) -> str:
    if len(numbers) <= 20:
        return " ".join(map(str, numbers))
    return f"{min(numbers):,} to {max(numbers):,}, in {sum(number > 0 for number in numbers):,} of {len(numbers):,}"


def _expert(cfg: CfgNode, num_classes: int) -> Expert:
    """Return the first expert of the trained network, or the trunk of a cascade with its main head."""
    network: Any = build_model(cfg, num_classes)
    path = cfg.NETWORK.PRETRAINED_MODEL
    weights = read_trained(cfg, network, path)
    try:
        report = load_released_weights(network, weights)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    cascade = isinstance(network, Cascade)
    used = ("trunk.", "head.") if cascade else ("trunk.", "experts.0.")
    missing = [name for name in report.missing if name.startswith(used) and ".projection." not in name]
    if missing:
        raise UserError(f"{path} lacks {len(missing)} parameters of the network, such as {missing[0]}")
    whole: Expert = Expert(network.trunk, network.head) if cascade else network.whole_expert(0)
    check_finite(path, whole.state_dict())
    expert: Expert = in_layout(cfg, whole)
    return expert


def _evaluation_view(cfg: CfgNode) -> View:
    """Return a function that makes the evaluation view of an image."""
    policy = build_evaluation_policy(cfg)

    def view(image: Tensor, k: int) -> tuple[Tensor, Axis, Axis]:
        height, width = image.shape[1:]
        rows, columns = view_axes(policy, rows=Axis(height), columns=Axis(width))
        return policy(image[None], torch.Generator())[0], rows, columns

    return view


def _augmented_view(cfg: CfgNode, plan: GenerationPlan) -> View:
    """Return a function that augments an image as in training, and treats the view as the whole image, as released."""
    policy = build_policy(cfg.DATASET.VIEWS[0], cfg)

    def view(image: Tensor, k: int) -> tuple[Tensor, Axis, Axis]:
        seen = policy(image[None], plan.view_generator(k))[0]
        rows, columns = (Axis(own).resized(new) for own, new in zip(image.shape[1:], seen.shape[1:], strict=True))
        return seen, rows, columns

    return view


def _inputs(cfg: CfgNode, images: ImageSet, *, plan: GenerationPlan) -> dict[str, Any]:
    """Return everything on which the generated images depend."""
    data, released = cfg.DATASET, cfg.DATASET.CAM_RELEASED
    view = data.VIEWS[0] if released else data.TEST_VIEW
    return {
        "seed": cfg.RAND_SEED,
        "checkpoint": _digest(cfg.NETWORK.PRETRAINED_MODEL),
        "images": images.fingerprint(),
        "counts": plan.per_class,
        "released": released,
        "backbone": expert_backbones(cfg)[0],
        "head": cfg.CLASSIFIER.TYPE,
        "view": view,
        "transforms": [list(cfg.INPUT_SIZE), cfg.TRANSFORMS.dump()] if view != "none" else [],
        "normalization": data.NORMALIZATION,
        "color_space": cfg.COLOR_SPACE,
    }


def _digest(path: str) -> str:
    try:
        return sha256(path)
    except OSError as error:
        raise UserError(f"NETWORK.PRETRAINED_MODEL {path} cannot be read: {error.strerror}") from None


def _write(path: Path, image: Tensor) -> None:
    """Write an image (3, H, W) atomically."""
    temporary = path.with_name(f".{path.name}")
    try:
        picture = Image.fromarray(image.permute(1, 2, 0).numpy())
        picture.save(temporary, "PNG" if path.suffix == ".png" else "JPEG", quality=QUALITY)
        os.replace(temporary, path)
    except OSError as error:
        raise UserError(f"image {path} cannot be written: {error.strerror or error}") from None
