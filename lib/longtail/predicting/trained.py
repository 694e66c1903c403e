"""A trained network with everything that predictions need: preprocessing, post-hoc corrections and class names."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from numbers import Integral
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from yacs.config import CfgNode

from longtail.checkpoint_file import read_checkpoint
from longtail.data import Normalize, build_normalize, build_splits, build_test_policy
from longtail.data.augment.steps import Policy
from longtail.data.images.decoding import rgb_pixels
from longtail.data.images.reading import read_image
from longtail.data.loaders.sizes import resize_hint
from longtail.data.seeding import generator
from longtail.distributed import Place
from longtail.engine.finite_guard import NotFinite
from longtail.errors import UserError, one_line
from longtail.evaluation import ensemble_heads, ensemble_logits
from longtail.models import Output
from longtail.runs.directory import RunDirectory, parent_of_runs
from longtail.stages.checks import check_network_and_data
from longtail.stages.corrections import build_views, corrected, with_views
from longtail.stages.network import find_checkpoint, load_network
from longtail.user_files import is_folder


class Choice(NamedTuple):
    """A class and its probability.

    Attributes:
        label: Class id.
        name: Name of the class; its id if it has none.
        probability: Probability in [0, 1].
    """

    label: int
    name: str
    probability: float


AN_IMAGE = "a path, an image of Pillow, or RGB pixels (H, W, 3) uint8"


@dataclass(frozen=True)
class Prediction:
    """The prediction for one image.

    Attributes:
        top: The most probable classes of the ensemble, the best one first.
        experts: The most probable class of each expert, (E,).
        probabilities: Probabilities of the ensemble, (C,) float32.
    """

    top: list[Choice]
    experts: list[Choice]
    probabilities: Tensor = field(repr=False)

    @property
    def label(self) -> int:
        """Class id of the most probable class."""
        return self.top[0].label

    @property
    def name(self) -> str:
        """Name of the most probable class."""
        return self.top[0].name

    @property
    def probability(self) -> float:
        """Probability of the most probable class."""
        return self.top[0].probability


class Trained(nn.Module):
    """A trained network that predicts the classes of images, with the same processing as `longtail valid`.

    As a module it maps normalized images (B, 3, H, W) to `Output`.

    Args:
        cfg: Config of the run.
        network: Images to `Output`, with test-time augmentation and the post-hoc corrections of the config.
        experts: Number of experts E.
        class_names: Names of the classes, (C,); empty: their ids.
        class_counts: Training images per class, (C,).
        checkpoint: File of the weights.
        place: Device and precision.
    """

    def __init__(
        self,
        cfg: CfgNode,
        network: nn.Module,
        *,
        experts: int,
        class_names: Sequence[str],
        class_counts: Sequence[int],
        checkpoint: Path,
        place: Place,
    ) -> None:
        super().__init__()
        self.cfg = cfg
        self.network = network
        self.experts = experts
        self.members = ensemble_heads(cfg.TEST.ENSEMBLE, experts)
        self.class_names = list(class_names) or [str(label) for label in range(len(class_counts))]
        self.class_counts = list(class_counts)
        self.checkpoint = checkpoint
        self.place = place
        self.policy: Policy = build_test_policy(cfg)
        self.normalize: Normalize = build_normalize(cfg)
        self.eval()

    def forward(self, images: Tensor) -> Output:
        """Return the output for normalized images (B, 3, H, W)."""
        output: Output = self.network(images)
        return output

    def view(self, pixels: Tensor) -> Tensor:
        """Return the evaluation view of an image, (3, S, S) uint8, of (3, H, W) uint8."""
        return self.policy(pixels[None], generator(self.cfg.RAND_SEED, 0))[0]

    def predict(self, images: Any, *, top: int = 1) -> list[Prediction]:
        """Predict the classes of images.

        Args:
            images: Path of an image file, image of Pillow, RGB pixels (H, W, 3) uint8, or any number of these.
            top: Number of classes in `Prediction.top`.

        Raises:
            UserError: `top` is not a positive whole number, a file cannot be read, an array is not an image, or the
                network cannot take images of that size.
        """
        if not isinstance(top, Integral) or isinstance(top, bool) or top < 1:
            raise UserError(f"top is {top!r}; it must be a whole number, at least 1")
        several = isinstance(images, (list, tuple)) or (isinstance(images, np.ndarray) and images.ndim == 4)
        pixels = map(_pixels, images if several else [images])
        return list(self.predictions(map(self.view, pixels), top=int(top)))

    @torch.no_grad()
    def predictions(self, views: Iterable[Tensor], *, top: int = 1) -> Iterator[Prediction]:
        """Yield the prediction of each view (3, S, S) uint8; batches have TEST.BATCH_SIZE views of one size."""
        self.eval()  # whoever uses this as a module may have called train()
        batch: list[Tensor] = []
        for view in views:
            if batch and (len(batch) == self.cfg.TEST.BATCH_SIZE or view.shape != batch[0].shape):
                yield from self._predict(torch.stack(batch), top)
                batch = []
            batch.append(view)
        if batch:
            yield from self._predict(torch.stack(batch), top)

    def _predict(self, images: Tensor, top: int) -> Iterator[Prediction]:
        """Yield the predictions of a batch of views (B, 3, S, S) uint8."""
        with self.place.autocast():
            try:
                logits = self(self.normalize(images[None].to(self.place.device))[0]).logits
            except (RuntimeError, AssertionError) as error:
                height, width = images.shape[2:]
                reason = one_line(error)
                raise UserError(
                    f"the network cannot take images of {height}x{width}: {reason}; {resize_hint(self.cfg)}"
                ) from None
        logits = logits.float()
        if not bool(torch.isfinite(logits).all()):
            raise NotFinite(f"{self.checkpoint} returns logits that are not finite")
        # Ties are in class order, as in the evaluation.
        ensemble = ensemble_logits(logits, self.members).cpu()
        order = ensemble.sort(dim=-1, descending=True, stable=True).indices[:, :top].tolist()
        probabilities, experts = ensemble.softmax(dim=-1), logits.cpu().softmax(dim=-1)
        best = experts.argmax(dim=-1)
        for row, labels in enumerate(order):
            yield Prediction(
                [self._choice(probabilities[row], label) for label in labels],
                [self._choice(expert[row], int(label[row])) for expert, label in zip(experts, best, strict=True)],
                probabilities[row],
            )

    def _choice(self, probabilities: Tensor, label: int) -> Choice:
        return Choice(label, self.class_names[label], float(probabilities[label]))


def load_trained(cfg: CfgNode, folder: Path, *, place: Place) -> Trained:
    """Load a trained network with the post-hoc corrections of a config.

    Args:
        cfg: Config, usually the run's own.
        folder: Run directory, see `longtail.stages.evaluate.validate`.
        place: Device and precision.

    Raises:
        UserError: The checkpoint is missing or does not fit. The data set is only needed for checkpoints that do not
            hold class counts.
    """
    place = place.with_precision(cfg.TRAIN.AMP)
    check_network_and_data(cfg)
    run = RunDirectory(folder if is_folder(folder / "models") else parent_of_runs(cfg))
    checkpoint = find_checkpoint(cfg, run)
    content = read_checkpoint(checkpoint)
    counts, names = content.get("class_counts"), content.get("class_names") or ()
    if not counts:
        splits = build_splits(cfg, generated=False)
        counts, names = splits.train.class_counts(), splits.class_names()
    network = load_network(cfg, len(counts), checkpoint, content=content).to(place.device)
    views = build_views(cfg, build_normalize(cfg))
    return Trained(
        cfg,
        with_views(corrected(cfg, network, class_counts=counts), views),
        experts=len(network.heads),
        class_names=names,
        class_counts=counts,
        checkpoint=checkpoint,
        place=place,
    )


def _pixels(image: Any) -> Tensor:
    """Return an image as (3, H, W) uint8."""
    if isinstance(image, (str, Path)):
        return read_image(image)
    if isinstance(image, Image.Image):
        image = _pixels_of_pillow(image)
    try:
        pixels = torch.as_tensor(image.copy() if isinstance(image, np.ndarray) else image)
    except (TypeError, ValueError, RuntimeError):
        raise UserError(f"an image is a {type(image).__name__}; it must be {AN_IMAGE}") from None
    if pixels.dtype != torch.uint8 or pixels.dim() != 3 or pixels.shape[2] != 3 or not pixels.numel():
        raise UserError(
            f"an image is {tuple(pixels.shape)} {str(pixels.dtype).removeprefix('torch.')}; it must be {AN_IMAGE}"
        )
    return pixels.permute(2, 0, 1)


def _pixels_of_pillow(image: Image.Image) -> np.ndarray:
    """Return the pixels of an image, (H, W, 3) uint8; the image is not changed."""
    try:
        return rgb_pixels(image.copy())
    except (ValueError, OSError) as error:
        raise UserError(f"an image of Pillow ({image.mode}, {image.width}x{image.height}): {error}") from None
