#!/usr/bin/env python3
"""Write the generated pages of docs/ and the table of results in README.md.

    python tools/write_docs.py
    python tools/write_docs.py --check

Exit code: 0 done, 1 with --check: a page is not up to date, 2 invalid command or file.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from longtail.cli.program import Parser, run_program
from longtail.config.key import Key

ROOT = Path(__file__).resolve().parent.parent
BEGIN, END = "<!-- results: written by tools/write_docs.py -->", "<!-- end of results -->"
NAV_BEGIN, NAV_END = "# methods: written by tools/write_docs.py", "          # end of methods"
MARK = "<!-- Written by tools/write_docs.py; edit what it names. -->"


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line and write the pages, or check them."""
    parser = Parser(__doc__ or "")
    parser.add_argument("--check", action="store_true", help="write nothing; report pages that are not up to date")
    options = parser.parse(arguments)
    stale: list[Path] = []

    def program() -> None:
        for path, text in pages().items():
            current = path.read_text(encoding="utf-8") if path.is_file() else ""
            if current == text:
                continue
            stale.append(path)
            if not options.check:
                path.parent.mkdir(exist_ok=True)
                path.write_text(text, encoding="utf-8")
            print(
                f"{path.relative_to(ROOT)}: {'not up to date; run tools/write_docs.py' if options.check else 'written'}"
            )

    return run_program(program) or int(options.check and bool(stale))


def pages() -> dict[Path, str]:
    """Return the text of every generated page by its file."""
    from tools.method_pages import Measured, method_pages, navigation
    from tools.results_page import read_published, read_records, results_page, top_table
    from tools.small_runs import leaderboard_page, read_rows, read_small_records

    docs, readme, site = ROOT / "docs", ROOT / "README.md", ROOT / "mkdocs.yml"
    published, records = read_published(docs / "results.yaml"), read_records(docs / "records")
    rows, small = read_rows(), read_small_records(docs / "leaderboard")
    methods = method_pages(published, Measured(records, rows, small))
    return {
        **{docs / "methods" / name: text for name, text in methods.items()},
        site: between(site.read_text(encoding="utf-8"), NAV_BEGIN, NAV_END, navigation(published, rows)),
        docs / "configuration.md": configuration_page(),
        docs / "configs.md": configs_page(),
        docs / "results.md": results_page(published, records),
        docs / "leaderboard.md": leaderboard_page(rows, small),
        readme: between(readme.read_text(encoding="utf-8"), BEGIN, END, top_table(published, records)),
    }


def between(text: str, begin: str, end: str, part: str) -> str:
    """Return a page with the part between two marks replaced; a page without the marks is returned unchanged."""
    before, _, rest = text.partition(begin)
    _, _, after = rest.partition(end)
    return f"{before}{begin}\n{part}\n{end}{after}" if rest else text


def configuration_page() -> str:
    """Return the reference of all keys, from their declarations in lib/longtail/config/keys."""
    from longtail.config import KEYS

    lines = [
        MARK.replace("what it names", "lib/longtail/config/keys"),
        "# Configuration reference",
        "",
        "Every key with its default, its allowed values and its meaning. Set keys in a YAML file, or with `KEY VALUE` "
        "at the end of a command. Keys marked *new* do not exist in the released systems. Keys marked *free* do not "
        "change what is computed, so a run may be resumed with another value.",
    ]
    section = ""
    for name, key in KEYS.items():
        own = name.split(".")[0] if "." in name else "General"
        if own != section:
            section = own
            lines += ["", f"## {section}", "", "| key | default | allowed | meaning |", "|---|---|---|---|"]
        lines.append(f"| `{name}` | `{_shown(key.default)}` | {_allowed(key)} | {_cell(key.help)}{_marks(key)} |")
    return "\n".join(lines) + "\n"


def configs_page() -> str:
    """Return the list of the configs under configs/, from the first lines of the files."""
    from longtail.config import short_names
    from longtail.config.files import FOLDERS

    lines = [
        MARK.replace("what it names", "the first lines of the files under configs/"),
        "# Configs",
        "",
        "Short names for the command line, as printed by `longtail list`. Combine a data set with methods by commas: "
        "`longtail train cifar10_im100,ncl`. Later names override earlier ones, except that the settings that a "
        "data set has for a method (`_FOR_` in its file) follow that method. Keys on the command line come last. A "
        "recipe runs several stages: `longtail train cifar10_im100,crt`.",
    ]
    for folder in FOLDERS:
        names = short_names((folder,))
        if names:
            lines += ["", f"## {folder}", "", "| name | |", "|---|---|"]
            lines += [_config_row(folder, name, path) for name, path in sorted(names.items())]
    return "\n".join(lines) + "\n"


def _config_row(folder: str, name: str, path: Path) -> str:
    from longtail.cli.list_configs import describe

    return f"| [`{name}`](../configs/{folder}/{path.name}) | {_cell(describe(path))} |"


def _shown(value: object) -> str:
    return repr(value) if value != "" else '""'


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _allowed(key: Key) -> str:
    if key.allowed:
        return ", ".join(f"`{choice}`" if choice else '`""`' for choice in key.allowed)
    parts = []
    if key.positive:
        parts.append("> 0")
    elif key.low is not None:
        parts.append(f">= {_bound(key.low)}")
    if key.high is not None:
        parts.append(f"<= {_bound(key.high)}")
    if key.never is not None:
        parts.append(f"or {key.never}")
    if key.length:
        parts.append(f"{key.length} values")
    if key.rising:
        parts.append("rising")
    return ", ".join(parts)


def _bound(number: float) -> str:
    return f"{int(number):,}" if number == int(number) else f"{number:g}"


def _marks(key: Key) -> str:
    return (" *new*" if key.ours else "") + ("" if key.result else " *free*")


if __name__ == "__main__":
    sys.exit(main())
