"""The images of CAM-based sampling (Bag of Tricks, AAAI 2021): made once, for a later training to draw from."""

import hashlib
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

from longtail.config import dataset_parts, expert_backbones
from longtail.data import ImageSet, Normalize, build_normalize, build_splits
from longtail.data.augment import build_policy, evaluation_transforms
from longtail.data.augment.placement import Axis, map_to_image, view_axes
from longtail.data.cam.annotations import check_generation
from longtail.data.cam.images import paste_foreground
from longtail.data.cam.plan import GenerationPlan, generated_per_class
from longtail.data.images.reading import image_size
from longtail.engine.assembly import read_trained
from longtail.engine.devices import parse_devices
from longtail.engine.distributed import launched_world
from longtail.engine.generation_folder import GenerationFolder
from longtail.engine.interrupts import Interrupted, Interrupts
from longtail.engine.preflight import check_names
from longtail.engine.progress import Progress, clock
from longtail.errors import UserError
from longtail.models import Expert, build_model, load_released_weights
from longtail.models.activation_maps import activation_maps

logger = logging.getLogger(__name__)

CHUNK = 256  # images that are made at a time; the batches of the network do not depend on where a process went on
QUALITY = 95  # of JPEG files, as released

# (image (3, H, W), number k) -> view (3, h, w), its rows, its columns
View = Callable[[Tensor, int], tuple[Tensor, Axis, Axis]]


def generate(cfg: CfgNode, gpus: str | None = None) -> Path:
    """Make images of the rare classes by pasting their objects once more (see `data.cam`).

    Images in memory (small ones, CIFAR and the like) fill every class up to n_max + n_min; other sets give only
    classes below DATASET.CAM_NUMBER_THRES images, and at most so many. The maps are those of the first expert of the
    network NETWORK.PRETRAINED_MODEL. Image k depends on the seed and k alone: a generation that was stopped goes on
    where it was, and one that is finished does nothing.

    Args:
        cfg: the tree; DATASET.GENERATE_CAM_BASED_DATASET may be False.
        gpus: "cpu" or the number of a GPU; None: the first GPU, or the CPU where there is none.

    Returns:
        the annotation file, DATASET.CAM_DATA_JSON_SAVE_PATH; of several processes, the first makes the images.

    Raises:
        UserError: something is missing in the tree, the weights do not fit, no image is to be made, or there are
            images of other inputs.
        Interrupted: a signal stopped it; the same command goes on.
    """
    target = Path(cfg.DATASET.CAM_DATA_JSON_SAVE_PATH)
    if not launched_world().main:
        return target
    device = parse_devices(gpus)[0]
    check_names(cfg)
    check_generation(cfg)
    images = build_splits(cfg, generated=False).train
    pixels = images.load()
    small = isinstance(pixels, Tensor)
    plan = GenerationPlan(images.labels, _per_class(cfg, images, small), seed=cfg.RAND_SEED)
    lossless = small and not cfg.DATASET.CAM_RELEASED
    folder = GenerationFolder(
        Path(cfg.DATASET.CAM_DATA_SAVE_PATH), target, _inputs(cfg, images, plan), ".png" if lossless else ".jpg"
    )
    if folder.finished(len(plan)):
        logger.info("%s lists all %s images; nothing is left to do", target, f"{len(plan):,}")
        return target
    expert = _expert(cfg, images.num_classes).to(device).eval()
    folder.claim(cfg.dump())
    try:
        work = _Work(cfg, expert, build_normalize(cfg), device, plan, folder)
        work.run(pixels)
        labels = [plan[k].label for k in range(len(plan))]
        folder.finish(labels, [image_size(folder.file(k)) for k in range(len(plan))], images.num_classes)
    finally:
        folder.release()
    logger.info("%s lists %s images in %s", target, f"{len(plan):,}", folder.path)
    return target


class _Work:
    """What is needed to make images."""

    def __init__(
        self,
        cfg: CfgNode,
        expert: Expert,
        normalize: Normalize,
        device: torch.device,
        plan: GenerationPlan,
        folder: GenerationFolder,
    ) -> None:
        self.expert = expert
        self.normalize = normalize
        self.device = device
        self.plan = plan
        self.folder = folder
        self.released: bool = cfg.DATASET.CAM_RELEASED
        self.batch_size: int = cfg.TEST.BATCH_SIZE
        self.view = _augmented_view(cfg, plan) if self.released else _evaluation_view(cfg)

    def run(self, pixels: Any) -> None:
        """Make the images that are not there yet.

        Args:
            pixels: of the training set, (N, 3, H, W) or image files; `pixels[i]` is (3, H, W) uint8.

        Raises:
            Interrupted: a signal asked to stop.
        """
        there, total = self.folder.present(), len(self.plan)
        chunks = [range(first, min(first + CHUNK, total)) for first in range(0, total, CHUNK)]
        todo = [chunk for chunk in chunks if any(self.folder.file(k).name not in there for k in chunk)]
        going_on = f", of which {len(there):,} are there" if there else ""
        logger.info("making %s images in %s%s", f"{total:,}", self.folder.path, going_on)
        logger.info("per class: %s", _spell(self.plan.per_class))
        progress = Progress("CAM-based images", len(chunks), len(chunks) - len(todo))
        threads = min(8, len(os.sched_getaffinity(0)))
        with Interrupts() as interrupts, ThreadPoolExecutor(threads) as pool:
            try:
                for number, chunk in enumerate(todo):
                    if interrupts.received is not None:
                        raise Interrupted(interrupts.received, "the same command goes on making images")
                    missing = [k for k in chunk if self.folder.file(k).name not in there]
                    self._chunk(chunk, missing, pixels, pool)
                    progress.advance(len(missing))
                    if progress.bar is None and (number + 1) % -(-len(todo) // 10) == 0:
                        left = (len(todo) - number - 1) * progress.seconds() / (number + 1)
                        logger.info("  %.0f images/s, ETA %s", progress.rate(), clock(left))
            finally:
                progress.close()

    def _chunk(self, chunk: Sequence[int], missing: list[int], pixels: Any, pool: ThreadPoolExecutor) -> None:
        """Make the missing images of a chunk; maps are computed for all of it, so that batches are always the same."""
        plans = {k: self.plan[k] for k in chunk}
        sources = list(dict.fromkeys(plan.source for plan in plans.values()))
        originals = dict(zip(sources, pool.map(lambda position: pixels[position], sources), strict=True))
        # An unaugmented view is that of the original, whatever is made of it.
        views = {k if self.released else plan.source: k for k, plan in plans.items()}
        maps = self._maps({key: (originals[plans[k].source], plans[k].label, k) for key, k in views.items()})

        def make(k: int) -> None:
            plan = plans[k]
            cam = maps[k if self.released else plan.source]
            image = paste_foreground(originals[plan.source], cam, transform=plan.transform, released=self.released)
            _write(self.folder.file(k), image)

        for _ in pool.map(make, missing):
            pass

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
                found.update(zip(batch, activation_maps(self.expert, stacked, labels).cpu(), strict=True))
        return {
            key: map_to_image(
                found[key], rows=views[key][1], columns=views[key][2], size=(image.shape[1], image.shape[2])
            )
            for key, (image, _, _) in wanted.items()
        }


def _per_class(cfg: CfgNode, images: ImageSet, small: bool) -> list[int]:
    """Return how many images each class gets."""
    threshold = None if small else cfg.DATASET.CAM_NUMBER_THRES
    if small and cfg.DATASET.CAM_NUMBER_THRES:
        logger.warning("DATASET.CAM_NUMBER_THRES is not used for small images: every class is filled up")
    numbers = generated_per_class(images.class_counts(), threshold)
    if sum(numbers) == 0:
        raise UserError(
            f"DATASET.CAM_NUMBER_THRES is {threshold}: no class of {images.name} has fewer images, none would be made; "
            "set it above the size of the classes that are to grow"
        )
    return numbers


def _spell(numbers: list[int]) -> str:
    if len(numbers) <= 20:
        return " ".join(map(str, numbers))
    return f"{min(numbers):,} to {max(numbers):,}, in {sum(number > 0 for number in numbers):,} of {len(numbers):,}"


def _expert(cfg: CfgNode, num_classes: int) -> Expert:
    """Return the first expert of the trained network."""
    network, path = build_model(cfg, num_classes), cfg.NETWORK.PRETRAINED_MODEL
    try:
        report = load_released_weights(network, read_trained(cfg, path))
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    missing = [name for name in report.missing if name.startswith("experts.0.") and ".projection." not in name]
    if missing:
        raise UserError(f"{path} lacks {len(missing)} parameters of the network, as {missing[0]}")
    expert = network.experts[0]
    assert isinstance(expert, Expert)
    return expert.to(memory_format=torch.channels_last) if cfg.TRAIN.CHANNELS_LAST else expert


def _evaluation_view(cfg: CfgNode) -> View:
    """Return what shows an image as the network is judged on it."""
    transforms = dataset_parts(cfg).test_view == "transforms"
    policy = evaluation_transforms(cfg) if transforms else build_policy("none", cfg)

    def view(image: Tensor, k: int) -> tuple[Tensor, Axis, Axis]:
        height, width = image.shape[1:]
        rows, columns = view_axes(policy, rows=Axis(height), columns=Axis(width))
        return policy(image[None], torch.Generator())[0], rows, columns

    return view


def _augmented_view(cfg: CfgNode, plan: GenerationPlan) -> View:
    """Return what augments an image as for training, and takes the view for the whole image, as released."""
    policy = build_policy(dataset_parts(cfg).views[0], cfg)

    def view(image: Tensor, k: int) -> tuple[Tensor, Axis, Axis]:
        seen = policy(image[None], plan.view_generator(k))[0]
        rows, columns = (Axis(own).resized(new) for own, new in zip(image.shape[1:], seen.shape[1:], strict=True))
        return seen, rows, columns

    return view


def _inputs(cfg: CfgNode, images: ImageSet, plan: GenerationPlan) -> dict[str, Any]:
    """Return all that the images depend on."""
    parts, released = dataset_parts(cfg), cfg.DATASET.CAM_RELEASED
    view = parts.views[0] if released else parts.test_view
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
        "normalization": parts.normalization,
        "color_space": cfg.COLOR_SPACE,
    }


def _digest(path: str) -> str:
    """Return the SHA-256 of a file."""
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            while piece := file.read(1 << 20):
                digest.update(piece)
    except OSError as error:
        raise UserError(f"NETWORK.PRETRAINED_MODEL {path} cannot be read: {error.strerror}") from None
    return digest.hexdigest()


def _write(path: Path, image: Tensor) -> None:
    """Write an image (3, H, W), whole or not at all."""
    temporary = path.with_name(f".{path.name}")
    try:
        picture = Image.fromarray(image.permute(1, 2, 0).numpy())
        picture.save(temporary, "PNG" if path.suffix == ".png" else "JPEG", quality=QUALITY)
        os.replace(temporary, path)
    except OSError as error:
        raise UserError(f"image {path} cannot be written: {error.strerror or error}") from None
