"""What was loaded from a weights file, in words and numbers."""

import logging
from pathlib import Path
from typing import Any, NamedTuple

from torch import nn

from longtail.errors import UserError

logger = logging.getLogger(__name__)

NAMED = 5  # names of a kind that are written out


class LoadReport(NamedTuple):
    """What loading did, in this project's parameter names.

    Attributes:
        loaded: Parameters and buffers that were set.
        missing: Those of the model that the file does not have; they keep their values.
        unexpected: Those of the file that the model does not have, under the file's names.
        new: Those of heads that were initialized from scratch on purpose.
        reshaped: Those that the file has in another shape, with both shapes; they keep their values.
    """

    loaded: list[str]
    missing: list[str]
    unexpected: list[str]
    new: list[str] = []  # noqa: RUF012  (never changed)
    reshaped: list[str] = []  # noqa: RUF012  (never changed)


def check_loaded(path: str | Path, module: nn.Module, report: LoadReport, *, least: float) -> dict[str, Any]:
    """Log what was loaded, and refuse a file that fills too little of a network.

    Counted are the elements of parameters; buffers, as counters of batch norm, fit every network.

    Args:
        path: Weights file.
        module: Network or backbone that was filled.
        report: Of the loading.
        least: Least share of the parameters that must be loaded, those of new heads left out; in [0, 1].

    Returns:
        The report, for results.json.

    Raises:
        UserError: Less was loaded.
    """
    sizes = {name: parameter.numel() for name, parameter in module.named_parameters()}
    expected = sum(size for name, size in sizes.items() if name not in report.new)
    loaded = sum(sizes.get(name, 0) for name in report.loaded)
    share = loaded / expected if expected else 1.0
    logger.info(
        "weights of %s: %s of %s parameters loaded (%.1f %%)", path, f"{loaded:,}", f"{expected:,}", 100 * share
    )
    if report.new:
        logger.info("weights of %s: new heads start from scratch: %s", path, _some(report.new))
    parts = {"of another shape": report.reshaped, "missing in the file": report.missing, "not used": report.unexpected}
    for what, names in parts.items():
        if names:
            logger.warning("weights of %s: %d %s: %s", path, len(names), what, _some(names))
    if share < least:
        reason = next((f"{what}: {_some(names)}" for what, names in parts.items() if names), "")
        raise UserError(
            f"weights of {path} fill {100 * share:.1f} % of the network, at least {100 * least:g} % are wanted "
            f"({reason}); is it of another architecture? NETWORK.MIN_LOADED 0 takes what fits"
        )
    counts = {what.replace(" ", "_"): len(names) for what, names in parts.items()}
    return {"file": str(path), "parameters": loaded, "share": round(share, 4), "new": len(report.new), **counts}


def _some(names: list[str]) -> str:
    return ", ".join(names[:NAMED]) + (", ..." if len(names) > NAMED else "")
