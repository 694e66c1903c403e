"""Fixtures of the data tests."""

import hashlib
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torchvision import datasets


def archive(folder: Any, name: Any, images: Any, content: Any) -> Any:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    if images is not None:
        content = {"data": images} | content
    path.write_bytes(pickle.dumps(content, protocol=2))
    return [name, hashlib.md5(path.read_bytes()).hexdigest()]


@pytest.fixture
def cifar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that writes a tiny CIFAR archive in the official layout and returns its pixels and labels."""

    def write(name: Any, per_class: Any) -> Any:
        kind = getattr(datasets, name)
        classes = 10 if name == "CIFAR10" else 100
        key, names = ("labels", "label_names") if classes == 10 else ("fine_labels", "fine_label_names")
        random = np.random.default_rng(0)
        labels = random.permutation(np.repeat(np.arange(classes), per_class))
        images = random.integers(0, 256, (len(labels), 3, 32, 32), dtype=np.uint8)
        folder = tmp_path / kind.base_folder
        parts = np.array_split(np.arange(len(labels)), len(kind.train_list))
        listed = [
            archive(folder, file, images[part].reshape(-1, 3072), {key: labels[part].tolist()})
            for (file, _), part in zip(kind.train_list, parts, strict=True)
        ]
        test = [
            archive(folder, file, images[:20].reshape(-1, 3072), {key: labels[:20].tolist()})
            for file, _ in kind.test_list
        ]
        meta = archive(folder, kind.meta["filename"], None, {names: [str(label) for label in range(classes)]})
        monkeypatch.setattr(kind, "train_list", listed)
        monkeypatch.setattr(kind, "test_list", test)
        monkeypatch.setattr(kind, "meta", kind.meta | {"md5": meta[1]})
        return torch.from_numpy(images), torch.from_numpy(labels)

    return write
