"""Checkpoint files: written atomically, and verified when they are read, without running code from them.

Format 2: the zip file of `torch.save` with the entries "version" and "checksum", a digest of all other entries. The zip
holds a CRC of every part, which torch does not compare; both are verified here, so a flipped bit is never loaded.
"""

import hashlib
import os
import pickle
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from longtail.errors import UserError, one_line
from longtail.files import atomic_write
from longtail.host_copies import on_host
from longtail.output_folders import LAST, PREVIOUS
from longtail.user_files import check_regular, os_error, shown

VERSION = 2
KIND = "checkpoint"
LARGEST_HEADER = 100_000_000  # bytes; larger ones are refused by safetensors too


def save_checkpoint(path: Path, content: Mapping[str, Any], *, keep: Path | None = None) -> None:
    """Write a checkpoint atomically.

    Args:
        path: File; an older one is replaced.
        content: Tensors and plain values, so that `torch.load(weights_only=True)` reads them.
        keep: Path under which the older file is kept; None: it is not kept.

    Raises:
        UserError: The disk is full or not writable; an older file of that name is untouched.
    """
    content = on_host(content)
    try:
        with atomic_write(path) as file:
            torch.save({"version": VERSION, "checksum": checksum(content), **content}, file)
            if keep is not None:
                _keep(path, keep)
    except OSError as error:
        raise os_error(error, path, kind=KIND, verb="written") from None
    except RuntimeError as error:  # torch wraps a failed write in a RuntimeError
        cause = error.__cause__ or error.__context__
        if isinstance(cause, OSError):
            raise os_error(cause, path, kind=KIND, verb="written") from None
        raise UserError(f"{KIND} {shown(path)} cannot be written: {one_line(error)}") from None


def _keep(path: Path, kept: Path) -> None:
    """Give the file a second name, replacing an older file of that name; do nothing if there is no file."""
    if not path.exists():
        return
    link = kept.with_name(f".{kept.name}.link")
    link.unlink(missing_ok=True)
    try:
        os.link(path, link)
    except OSError:  # a file system without hard links
        os.replace(path, kept)
        return
    os.replace(link, kept)


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read a checkpoint onto the CPU and verify it, without running code from it.

    Besides tensors and plain values, NumPy scalars and arrays, argparse.Namespace and other plain containers that are
    common in checkpoints are allowed. A safetensors file gives its tensors; if `longtail export` wrote it, also
    "architecture" and "heads".

    Raises:
        UserError: The file is missing or damaged, or holds other objects.
    """
    check_regular(path, KIND)
    if _is_safetensors(path):
        return _read_safetensors(path)
    _verify_archive(path)
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals(_allowed()):
            warnings.simplefilter("ignore")  # about old formats, which can still be read
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise UserError(f"{KIND} {shown(path)} {_refusal(path, str(error))}") from None
    except OSError as error:
        raise os_error(error, path, kind=KIND, verb="read") from None
    except Exception as error:  # torch raises a dozen kinds for a damaged file
        raise UserError(f"{KIND} {shown(path)} is damaged ({type(error).__name__}){advice(path)}") from None
    if not isinstance(content, dict):
        raise UserError(f"{KIND} {shown(path)} holds a {type(content).__name__}, not a dictionary of weights")
    version = content.get("version")
    if isinstance(version, int) and version > VERSION:
        raise UserError(
            f"{KIND} {shown(path)} has format version {version}; this software reads versions up to {VERSION}"
        )
    if version == VERSION:
        stated = content.pop("checksum", None)
        if stated != checksum({key: value for key, value in content.items() if key != "version"}):
            raise UserError(f"{KIND} {shown(path)} is damaged: its checksum does not match{advice(path)}")
    return content


def _is_safetensors(path: str | Path) -> bool:
    """Return whether a file begins with the length of a JSON header, in 8 bytes, and the header."""
    try:
        with open(path, "rb") as file:
            start = file.read(9)
    except OSError as error:
        raise os_error(error, path, kind=KIND, verb="read") from None
    return start[8:] == b"{" and int.from_bytes(start[:8], "little") <= LARGEST_HEADER


def _read_safetensors(path: str | Path) -> dict[str, Any]:
    from safetensors import safe_open

    try:
        with safe_open(path, framework="pt") as file:
            content: dict[str, Any] = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
            metadata = file.metadata() or {}
    except Exception as error:  # of the file's header, of Python, or of the operating system
        raise UserError(f"{KIND} {shown(path)} is damaged ({type(error).__name__}){advice(path)}") from None
    if "architecture" in metadata and "heads" in metadata:
        content |= {"architecture": metadata["architecture"], "heads": metadata["heads"].split(",")}
    return content


def advice(path: str | Path) -> str:
    """Return the end of an error message: which intact checkpoint of the same folder to use instead."""
    others = [Path(path).with_name(name) for name in (LAST, PREVIOUS)]
    epochs = sorted(Path(path).parent.glob("epoch_*.pth"), key=lambda file: -file.stat().st_mtime)
    for other in [*others, *epochs]:
        if other.name != Path(path).name and other.is_file() and is_intact(other):
            use = f"train with --resume {shown(other)}, or evaluate with TEST.MODEL_FILE {other.name}"
            return f"; {shown(other)} is intact: {use}"
    return "; delete it to start again"


def checksum(content: Mapping[str, Any]) -> str:
    """Return a digest of plain values and tensors, independent of the file format."""
    digest = hashlib.blake2b(digest_size=16)
    _update(digest, content)
    return digest.hexdigest()


def _update(digest: Any, value: Any) -> None:
    if isinstance(value, Tensor):
        digest.update(f"tensor {value.dtype} {tuple(value.shape)} ".encode())
        if value.numel():
            digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    elif isinstance(value, Mapping):
        digest.update(f"mapping {len(value)} ".encode())
        for key, entry in value.items():
            digest.update(f"{type(key).__name__} {key!r} ".encode())
            _update(digest, entry)
    elif isinstance(value, (list, tuple)):
        digest.update(f"sequence {len(value)} ".encode())
        for entry in value:
            _update(digest, entry)
    else:
        digest.update(f"{type(value).__name__} {value!r} ".encode())


def _verify_archive(path: str | Path) -> None:
    """Compare the CRCs of a zip file; older formats of torch have none."""
    if not zipfile.is_zipfile(path):
        with open(path, "rb") as file:
            if file.read(2) == b"PK":  # the start of a zip file without its end
                raise UserError(f"{KIND} {shown(path)} is damaged: it is truncated{advice(path)}")
        return
    try:
        with zipfile.ZipFile(path) as archive:
            broken = archive.testzip()
    except Exception as error:  # zipfile raises several kinds for a damaged directory
        raise UserError(f"{KIND} {shown(path)} is damaged ({type(error).__name__}){advice(path)}") from None
    if broken is not None:
        raise UserError(f"{KIND} {shown(path)} is damaged: the content of {broken} has changed{advice(path)}")


def is_intact(path: Path) -> bool:
    """Return whether a checkpoint of this software is complete and its CRCs match."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except Exception:
        return False


CONVERT = 'convert it where it was made: torch.save({"state_dict": model.state_dict()}, "weights.pth")'


def _refusal(path: str | Path, message: str) -> str:
    """Return why a file is refused, in place of torch's message, which advises to trust the file."""
    marks = ("Unsupported global: GLOBAL ", "Trying to load unsupported GLOBAL ", "Unsupported class ")
    for mark in marks:
        if mark in message:
            name = message.split(mark, 1)[1].split()[0].strip(".,`")
            return f"holds an object of {name}, which could run code and is not read; {CONVERT}"
    if zipfile.is_zipfile(path):  # intact: its CRCs were verified
        return f"holds objects, or has a pickle protocol, that cannot be read without running code; {CONVERT}"
    return "cannot be read: it is not a PyTorch checkpoint, or it is damaged"


def _allowed() -> list[Any]:
    """Return the globals, in addition to torch's own, that are common in checkpoints and run no code."""
    import argparse
    import collections
    import pathlib

    import numpy as np
    from yacs.config import CfgNode

    scalar: Any = np.float64(0).__reduce__()[0]  # NumPy's private function that restores a scalar
    array: Any = np.zeros(1).__reduce__()[0]
    kinds = (np.float64, np.float32, np.float16, np.int64, np.int32, np.int16, np.uint8, np.bool_)
    allowed: list[Any] = [
        np.dtype,
        np.ndarray,
        scalar,
        array,
        argparse.Namespace,
        CfgNode,
        collections.defaultdict,
        *(dict, list, set, frozenset, tuple, int, float, str, bool),  # default factories of a defaultdict
        *(pathlib.PosixPath, pathlib.PurePosixPath),
    ]
    # Where NumPy 1 and NumPy 2 keep the two functions.
    for module in ("numpy.core.multiarray", "numpy._core.multiarray"):
        allowed += [(scalar, f"{module}.scalar"), (array, f"{module}._reconstruct")]
    return allowed + [type(np.dtype(kind)) for kind in kinds]
