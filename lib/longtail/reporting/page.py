"""The HTML page: one file with its data, style and scripts."""

import json
from collections.abc import Sequence
from html import escape
from importlib import resources
from pathlib import Path
from typing import Any

from longtail.files import atomic_write
from longtail.runs.folder import finite
from longtail.user_files import translating

SCRIPTS = ("elements.js", "charts.js", "classes.js", "matrix.js", "sections.js", "main.js")


def write_page(path: str | Path, runs: Sequence[dict[str, Any]]) -> None:
    """Write the report of some runs.

    Args:
        path: HTML file.
        runs: What `describe_run` returns for each.

    Raises:
        UserError: The file cannot be written.
    """
    with translating(path, "report"), atomic_write(path, "w") as file:
        file.write(render(runs))


def render(runs: Sequence[dict[str, Any]]) -> str:
    """Return the HTML text of a report.

    All text of the runs is data: it reaches the page as JSON and is shown by textContent, never as HTML.
    """
    title = "Report: " + ", ".join(str(run["name"]) for run in runs)
    scripts = "\n".join(_read(name) for name in SCRIPTS)
    parts = {
        "TITLE": escape(title),
        "STYLE": _read("style.css"),
        "DATA": as_script_data({"runs": list(runs)}),
        "SCRIPT": f'"use strict";\n(() => {{\n{scripts}\n}})();',
    }
    before, *rest = _read("page.html").split("{{")  # not by replacement: the data may contain the marks
    text = before
    for piece in rest:
        name, _, after = piece.partition("}}")
        text += parts[name] + after
    return text


def as_script_data(content: Any) -> str:
    """Return JSON that may stand inside a script element, whatever strings it holds."""
    text = json.dumps(finite(content), allow_nan=False, ensure_ascii=True, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _read(name: str) -> str:
    return resources.files("longtail.reporting").joinpath("assets").joinpath(name).read_text(encoding="utf-8")
