"""What was loaded from a weights file, in words and numbers."""

import logging
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor, nn

from longtail.errors import UserError

logger = logging.getLogger(__name__)

NAMED = 5  # names of a kind that are shown


class LoadReport(NamedTuple):
    """The result of loading weights, in this project's parameter names.

    Attributes:
        loaded: Parameters and buffers that were set.
        missing: Names of the model that are not in the file; they keep their values.
        unexpected: Names of the file that are not in the model.
        new: Parameters of heads that were initialized from scratch on purpose.
        reshaped: Names whose shape in the file differs, with both shapes; they keep their values.
    """

    loaded: list[str]
    missing: list[str]
    unexpected: list[str]
    new: list[str] = []  # noqa: RUF012  (never changed)
    reshaped: list[str] = []  # noqa: RUF012  (never changed)


def check_loaded(path: str | Path, module: nn.Module, report: LoadReport, *, least: float) -> dict[str, Any]:
    """Log what was loaded, and refuse values that are not finite and a file that fills too little of a network.

    The fraction counts elements of parameters, not buffers: counters of batch norm, for example, fit every network.

    Args:
        path: Weights file.
        module: Network or backbone that was filled.
        report: Result of the loading.
        least: Smallest fraction of the parameters, without those of new heads, that must be loaded; in [0, 1].

    Returns:
        The report, for results.json.

    Raises:
        UserError: A smaller fraction was loaded, or a loaded value is infinite or NaN.
    """
    sizes = {name: parameter.numel() for name, parameter in module.named_parameters()}
    expected = sum(size for name, size in sizes.items() if name not in report.new)
    loaded = sum(sizes.get(name, 0) for name in report.loaded)
    fraction = loaded / expected if expected else 1.0
    logger.info(
        "weights of %s: %s of %s parameters loaded (%.1f %%)", path, f"{loaded:,}", f"{expected:,}", 100 * fraction
    )
    if report.new:
        logger.info("weights of %s: new heads start from scratch: %s", path, _some(report.new))
    parts = {"of another shape": report.reshaped, "missing in the file": report.missing, "not used": report.unexpected}
    for what, names in parts.items():
        if names:
            logger.warning("weights of %s: %d %s: %s", path, len(names), what, _some(names))
    if fraction < least:
        reason = next((f"{what}: {_some(names)}" for what, names in parts.items() if names), "")
        raise UserError(
            f"weights of {path} fill {100 * fraction:.1f} % of the network, less than {100 * least:g} % "
            f"({reason}); is it another architecture? NETWORK.MIN_LOADED 0 loads whatever fits"
        )
    values = module.state_dict()
    check_finite(path, {name: values[name] for name in report.loaded})
    counts = {what.replace(" ", "_"): len(names) for what, names in parts.items()}
    return {"file": str(path), "parameters": loaded, "share": round(fraction, 4), "new": len(report.new), **counts}


def check_depth(path: str | Path, backbone: nn.Module, report: LoadReport) -> None:
    """Refuse a file of a deeper backbone, of whose stages only the first blocks would be used.

    Names outside of the backbone's stages, such as those of a classifier or of a momentum encoder, are not looked at.

    Args:
        path: Weights file.
        backbone: Backbone that was filled.
        report: Result of the loading.

    Raises:
        UserError: A stage has more blocks in the file than in the backbone.
    """
    own = set(_blocks(backbone.state_dict()))
    stages = {block.rpartition(".")[0] for block in own}
    extra = [block for block in dict.fromkeys(_blocks(report.unexpected)) if block not in own]
    extra = [block for block in extra if block.rpartition(".")[0] in stages]
    if extra:
        raise UserError(
            f"weights of {path} have {len(extra)} blocks that the backbone lacks ({_some(extra)}); are they of a "
            "deeper one? Set BACKBONE.TYPE to it, or BACKBONE.PRETRAINED_MODEL to weights of this one; "
            "NETWORK.MIN_LOADED 0 loads whatever fits"
        )


def _blocks(names: Iterable[str]) -> Iterator[str]:
    """Yield the numbered parts of names: layer3.6 of layer3.6.conv1.weight."""
    for name in names:
        parts = name.split(".")
        yield from (".".join(parts[: place + 1]) for place, part in enumerate(parts) if part.isdigit())


def check_finite(path: str | Path, values: Mapping[str, Any]) -> None:
    """Refuse values of a weights file, by name, that are infinite or NaN.

    Raises:
        UserError: One is; the message names the first ones.
    """
    bad = [name for name, value in values.items() if isinstance(value, Tensor) and not bool(value.isfinite().all())]
    if bad:
        raise UserError(f"weights of {path} are not finite: {_some(bad)}; use another checkpoint")


def _some(names: list[str]) -> str:
    return ", ".join(names[:NAMED]) + (", ..." if len(names) > NAMED else "")
