"""A trained network in the formats of other software, compared with the network itself."""

import contextlib
import copy
import io
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from longtail.data import build_splits
from longtail.data.augment import TRANSFORMS
from longtail.data.augment.steps import Chain
from longtail.errors import UserError, one_line
from longtail.evaluation import ensemble_logits
from longtail.files import atomic_write
from longtail.models import PostHocClassifier, build_adjusted_heads, build_model
from longtail.predicting.images import decode
from longtail.predicting.trained import Trained
from longtail.runs.folder import LockedFolder
from longtail.user_files import translating

IMAGES = 10  # images on which the exported network is compared
LARGEST = 1e-3  # largest allowed difference of logits, relative to the largest logit or 1
ONNX_BYTES = 2_000_000_000  # of weights; a protobuf message, which an ONNX file is, has less than 2 GiB

Run = Callable[[Tensor], Tensor]  # normalized images (B, 3, H, W) to ensemble logits (B, C)


class Format(NamedTuple):
    """A file format.

    Attributes:
        suffix: Suffix of the file.
        content: (trained, ensemble, normalized example images) -> the content of the file.
        load: (trained, content of the file) -> a function that runs it.
        needs: Packages that it imports.
        extra: Pip extra that installs them.
    """

    suffix: str
    content: Callable[[Trained, "Ensemble", Tensor], bytes]
    load: Callable[[Trained, bytes], Run]
    needs: tuple[str, ...] = ()
    extra: str = ""


class Exported(NamedTuple):
    """Result of an export.

    Attributes:
        path: The file; labels.json and preprocessing.json are in the same folder.
        difference: Largest difference of the ensemble logits from those of the network.
        images: Description of the images on which they were compared.
    """

    path: Path
    difference: float
    images: str


class Ensemble(nn.Module):
    """Normalized images to the logits of the ensemble TEST.ENSEMBLE, including corrections.

    Args:
        network: Images to `Output`.
        members: Experts in the ensemble, see `ensemble_heads`.
    """

    def __init__(self, network: nn.Module, members: Sequence[int]) -> None:
        super().__init__()
        self.network = network
        self.members = tuple(members)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (B, C), float32, of images (B, 3, H, W)."""
        logits: Tensor = self.network(images).logits
        return ensemble_logits(logits.float(), self.members)


def export(trained: Trained, kind: str, folder: Path) -> Exported:
    """Write a network in another format, with labels.json and preprocessing.json, and compare it with the original.

    An existing file is replaced only by one that computes the same as the network.

    Args:
        trained: Network, on the CPU.
        kind: A key of `FORMATS`.
        folder: Folder of the files, which is created.

    Raises:
        UserError: A package is missing, the network cannot be exported in this format, the file would compute something
            else than the network, or it cannot be written.
    """
    form = FORMATS[kind]
    check_format(kind)
    with translating(folder, "folder"):
        folder.mkdir(parents=True, exist_ok=True)
    views, where = example_views(trained)
    images = trained.normalize(views[None])[0]
    example = images if len(images) > 1 else images.repeat(2, 1, 1, 1)  # torch.export fixes a batch size of 1
    ensemble = Ensemble(trained.network, trained.members).eval()
    path = folder / f"model{form.suffix}"
    with torch.no_grad(), _one_line(kind):
        content = form.content(trained, ensemble, example)
        wanted, found = ensemble(images), form.load(trained, content)(images)
    difference = float((wanted - found).abs().max())
    if not difference <= LARGEST * max(1.0, float(wanted.abs().max())):
        raise UserError(
            f"{path} is not written: --format {kind} differs from the network by {difference:.3g} on {where}"
        )
    with translating(path, "file"), atomic_write(path) as file:
        file.write(content)
    files = LockedFolder(folder)
    files.write_json("labels.json", trained.class_names)
    files.write_json("preprocessing.json", preprocessing(trained, size=tuple(views.shape[2:])))
    return Exported(path, difference, where)


def check_format(kind: str) -> None:
    """Refuse a format whose packages are not installed.

    Raises:
        UserError: One is missing; the message names the pip extra that installs it.
    """
    import importlib.util

    form = FORMATS[kind]
    missing = [name for name in form.needs if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(
            f"--format {kind} needs {', '.join(missing)}, which is not installed: pip install 'longtail[{form.extra}]'"
        )


def example_views(trained: Trained) -> tuple[Tensor, str]:
    """Return at most ten evaluation views of one size, (B, 3, S, S) uint8, and a description of them.

    They show the first validation images, or noise of INPUT_SIZE if those cannot be read.
    """
    views = _validation_views(trained)
    if views:
        same = [view for view in views if view.shape == views[0].shape]
        return torch.stack(same), f"{len(same)} validation images" if len(same) > 1 else "one validation image"
    noise = torch.randint(256, (IMAGES, 3, *trained.cfg.INPUT_SIZE), generator=torch.Generator().manual_seed(0))
    return torch.stack([trained.view(image) for image in noise.to(torch.uint8)]), f"{IMAGES} images of noise"


def _validation_views(trained: Trained) -> list[Tensor]:
    """Return the evaluation views, each (3, S, S) uint8, of those of the first validation images that can be read."""
    with contextlib.suppress(UserError):
        valid = build_splits(trained.cfg, generated=False).valid
        if valid.paths and valid.pixels is None:
            decoded = decode(valid.paths[:IMAGES], trained.view)
            return [image.view for image in decoded if image.view is not None]
        images = valid.load()
        return [trained.view(images[index]) for index in range(min(IMAGES, len(valid)))]
    return []


def preprocessing(trained: Trained, *, size: tuple[int, ...]) -> dict[str, Any]:
    """Return a description of how an image file becomes the input of the exported network, as plain values."""
    normalize = trained.normalize
    return {
        "input": "float32 (B, 3, height, width)",
        "output": "logits (B, C); softmax over C gives probabilities",
        "color": "BGR" if normalize.bgr else "RGB",
        "transforms": _transforms(trained),
        "height": size[0],
        "width": size[1],
        "formula": "(pixels / 255 - mean) / std",
        "mean": [round(value, 6) for value in (normalize.mean.flatten() / 255).tolist()],
        "std": [round(value, 6) for value in (1 / normalize.scale.flatten() / 255).tolist()],
    }


def _transforms(trained: Trained) -> list[dict[str, Any]]:
    """Return the steps of the evaluation view, each with its name and numbers."""
    cfg, policy = trained.cfg, trained.policy
    if cfg.DATASET.TEST_VIEW != "transforms" or not isinstance(policy, Chain):
        return []
    names = cfg.TRANSFORMS.TEST_TRANSFORMS
    return [
        {"name": name, **(vars(step) if name in TRANSFORMS else {})}  # that of torchvision includes its arguments
        for name, step in zip(names, policy.steps, strict=True)
        if name != "normalize"
    ]


def _safetensors(trained: Trained, ensemble: Ensemble, images: Tensor) -> bytes:
    """Return the weights under the names of the network, with the corrections inside the heads."""
    from safetensors.torch import save

    network = folded(trained)
    weights = {name: tensor.detach().clone().contiguous() for name, tensor in network.state_dict().items()}
    heads = ",".join(network.head_kinds)
    content: bytes = save(weights, {"format": "pt", "architecture": network.description, "heads": heads})
    return content


def _load_safetensors(trained: Trained, content: bytes) -> Run:
    from safetensors.torch import load

    network: Any = build_model(trained.cfg, len(trained.class_names))
    network.load_state_dict(load(content))
    return Ensemble(network, trained.members).eval()


def folded(trained: Trained) -> Any:
    """Return a copy of the network of a run whose heads return the corrected logits.

    Raises:
        UserError: The heads have no bias that could include the corrections, or there is test-time augmentation.
    """
    network: Any = trained.network
    if trained.cfg.TEST.TTA != "none":
        raise UserError(
            f"--format safetensors holds weights only, not TEST.TTA {trained.cfg.TEST.TTA}; export another format, or "
            "set TEST.TTA none"
        )
    if not isinstance(network, PostHocClassifier):
        return network
    inner = copy.deepcopy(network.network)
    heads: Any = inner
    adjusted = build_adjusted_heads(trained.cfg, heads.heads, class_counts=trained.class_counts)
    for head, corrected in zip(heads.heads, adjusted.heads, strict=True):
        if not isinstance(head, nn.Linear) or head.bias is None:
            raise UserError(
                "--format safetensors holds weights only, and these heads have no bias that could include the "
                "corrections of TEST; export another format"
            )
        head.load_state_dict(corrected.state_dict())
        head.weight.div_(adjusted.temperature)
        head.bias.div_(adjusted.temperature).sub_(adjusted.offset)
    return heads


def _torchscript(trained: Trained, ensemble: Ensemble, images: Tensor) -> bytes:
    file = io.BytesIO()  # not the file itself: torch ends the process if the disk is full
    torch.jit.save(torch.jit.trace(ensemble, images, check_trace=False), file)
    return file.getvalue()


def _load_torchscript(trained: Trained, content: bytes) -> Run:
    loaded: Run = torch.jit.load(io.BytesIO(content))
    return loaded


def _exported(trained: Trained, ensemble: Ensemble, images: Tensor) -> bytes:
    file = io.BytesIO()  # as for TorchScript
    torch.export.save(_program(ensemble, images), file)
    return file.getvalue()


def _load_exported(trained: Trained, content: bytes) -> Run:
    return torch.export.load(io.BytesIO(content)).module()


def _program(ensemble: Ensemble, images: Tensor) -> Any:
    """Return the exported program of a network, for batches of any size."""
    batch = torch.export.Dim("batch", min=1)
    return torch.export.export(ensemble, (images,), dynamic_shapes=({0: batch},))


def _onnx(trained: Trained, ensemble: Ensemble, images: Tensor) -> bytes:
    size = sum(tensor.nbytes for tensor in ensemble.state_dict().values())
    if size > ONNX_BYTES:
        raise UserError(
            f"--format onnx holds at most {ONNX_BYTES / 1e9:g} GB, and the weights have {size / 1e9:.1f} GB; export "
            "another format"
        )
    names: dict[str, Any] = {"input_names": ["images"], "output_names": ["logits"]}
    program: Any = torch.onnx.export(_program(ensemble, images), dynamo=True, verbose=False, **names)
    content: bytes = program.model_proto.SerializeToString()
    return content


def _load_onnx(trained: Trained, content: bytes) -> Run:
    import onnxruntime

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return lambda batch: torch.from_numpy(session.run(None, {"images": batch.contiguous().numpy()})[0])


@contextlib.contextmanager
def _one_line(kind: str) -> Iterator[None]:
    """Within the block, report errors of an export in one line, without warnings."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch deprecates TorchScript, but other software still reads it
            yield
    except UserError:
        raise
    except Exception as error:  # torch raises a dozen kinds
        reason = one_line(error)
        raise UserError(f"this network cannot be exported as {kind}: {type(error).__name__}: {reason}") from None


FORMATS = {
    "safetensors": Format(".safetensors", _safetensors, _load_safetensors),
    "torchscript": Format(".pt", _torchscript, _load_torchscript),
    "exported": Format(".pt2", _exported, _load_exported),
    "onnx": Format(".onnx", _onnx, _load_onnx, ("onnx", "onnxscript", "onnxruntime"), "onnx"),
}
