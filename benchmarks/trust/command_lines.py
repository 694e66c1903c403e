"""Run the commands of the repository in this process, for measurements that need hundreds of them."""

import contextlib
import importlib.util
import io
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from longtail.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
CLASSES = ("ant", "bee", "cat")
NOBODY = 65534

Main = Callable[[list[str]], int]


def main_of(path: str) -> Main:
    """Return `main` of a script; `path` is relative to the root of the repository."""
    spec = importlib.util.spec_from_file_location(path.replace("/", "_").removesuffix(".py"), ROOT / path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found: Main = module.main
    return found


def command(main: Main, words: Sequence[Any], *, folder: Path, allowed: Sequence[int] = (0,)) -> str:
    """Run a command in a folder and return what it printed.

    Raises:
        UserError: It ended with exit code 2; the message is what it printed on standard error.
        AssertionError: It ended with another code.
    """
    out, err, before = io.StringIO(), io.StringIO(), Path.cwd()
    os.chdir(folder)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main([str(word) for word in words])
    except SystemExit as error:  # argparse
        code = int(error.code or 0)
    finally:
        os.chdir(before)
    if code == 2:
        raise UserError(err.getvalue().strip("\n"))
    assert code in allowed, f"exit code {code}: {err.getvalue()}"
    return out.getvalue() + err.getvalue()


def make_images(folder: Path, *, per_class: int = 4, side: int = 32) -> None:
    """Write a folder of noise images, one folder per class."""
    rng = np.random.default_rng(0)
    for name in CLASSES:
        (folder / name).mkdir(parents=True)
        for number in range(per_class):
            pixels = rng.integers(0, 256, (side, side, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.png")


@contextlib.contextmanager
def fresh_copy(template: Path, folder: Path) -> Iterator[Path]:
    """Context manager in which `folder` is a copy of a template."""
    shutil.copytree(template, folder, symlinks=True)
    try:
        yield folder
    finally:
        for path, names, _ in os.walk(folder):
            for name in names:
                if not os.path.islink(os.path.join(path, name)):
                    os.chmod(os.path.join(path, name), 0o755)
        shutil.rmtree(folder)


@contextlib.contextmanager
def as_nobody(active: bool) -> Iterator[None]:
    """Context manager without the right to ignore file permissions, which root has."""
    if not active or os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
