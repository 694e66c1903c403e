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
        runs: Descriptions of the runs, from `describe_run`.

    Raises:
        UserError: The file cannot be written.
    """
    with translating(path, "report"), atomic_write(path, "w") as file:
        file.write(render(runs))


def render(runs: Sequence[dict[str, Any]]) -> str:
    """Return the HTML text of a report.

    All text of the runs is data: it is embedded in the page as JSON and shown by textContent, never as HTML.
    """
    title = "Report: " + ", ".join(str(run["name"]) for run in runs)
    scripts = "\n".join(_read(name) for name in SCRIPTS)
    parts = {
        "TITLE": escape(title),
        "STYLE": _read("style.css"),
        "DATA": as_script_data({"runs": list(runs)}),
        "SCRIPT": f'"use strict";\n(() => {{\n{scripts}\n}})();',
    }
    before, *rest = _read("page.html").split("{{")  # split, not replace: the data may contain "{{"
    text = before
    for piece in rest:
        name, _, after = piece.partition("}}")
        text += parts[name] + after
    return text


def as_script_data(content: Any) -> str:
    """Return JSON that is safe inside a script element, for any strings."""
    text = json.dumps(finite(content), allow_nan=False, ensure_ascii=True, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _read(name: str) -> str:
    return (resources.files("longtail.reporting") / "assets" / name).read_text(encoding="utf-8")
