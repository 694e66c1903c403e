"""Environment of a run: versions, hardware, commit, command."""

import os
import platform
import shlex
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from longtail.distributed import Place, launch_name
from longtail.runs.directory import LAUNCH

# What a resumed run may change.
COMPARED = ("commit", "python", "versions", "processor", "devices", "processes", "precision")
PACKAGES = ("torch", "torchvision", "timm", "numpy", "pillow", "scikit-learn", "yacs")


def describe(place: Place, fingerprints: dict[str, str]) -> dict[str, Any]:
    """Return the content of environment.json.

    Args:
        place: Processes and devices of the run.
        fingerprints: Digest of the images of each split.
    """
    return {
        "command": shlex.join([Path(sys.executable).name, *sys.argv]),
        "commit": commit_of(Path(__file__).parent.parent),  # of the package: configs and records are not code
        "python": platform.python_version(),
        "versions": {name: metadata.version(name) for name in PACKAGES if _installed(name)},
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "devices": [torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu" for device in place.devices],
        "cuda": torch.version.cuda if place.device.type == "cuda" else None,
        "processes": place.world.size,
        LAUNCH: launch_name(),
        "precision": place.precision,
        "data": fingerprints,
    }


def resumed(before: dict[str, Any], now: dict[str, Any], epoch: int) -> dict[str, Any]:
    """Return environment.json of a run that is resumed, with an entry under "resumed" if anything changed.

    Args:
        before: Content of environment.json.
        now: Result of `describe` in the process that resumes.
        epoch: Epoch in which it resumes.
    """
    entries: list[dict[str, Any]] = before.get("resumed", [])
    newest = dict(before)
    for entry in entries:
        newest |= entry
    changed = {name: now[name] for name in COMPARED if now[name] != newest.get(name)}
    content = {**before, LAUNCH: now[LAUNCH]}
    return {**content, "resumed": [*entries, {"epoch": epoch, **changed}]} if changed else content


def _installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def commit_of(folder: Path) -> str | None:
    """Return the commit of the checkout of a folder, with `+` if files under it were changed; None outside one."""
    try:
        commit, status = (
            subprocess.run(["git", *command], cwd=folder, capture_output=True, text=True, check=True, timeout=10).stdout
            for command in (["rev-parse", "HEAD"], ["status", "--porcelain", "--untracked-files=no", "--", "."])
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return commit.strip() + ("+" if status.strip() else "")


def short_commit(commit: str | None) -> str:
    """Return the first digits of what `commit_of` returns, and its `+`; empty outside a repository."""
    return commit[:8] + "+" * commit.endswith("+") if commit else ""


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next(
        (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.processor()
    )
