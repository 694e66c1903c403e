"""Every command line in README and docs parses: options, names of configs, keys and values. No data are read."""

import importlib
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from longtail.cli.main import COMMANDS
from longtail.cli.main import main as longtail_main
from longtail.cli.program import leading_numbers
from longtail.config import is_recipe, load_config
from longtail.stages.checks import check_names, check_start
from longtail.stages.recipe_file import load_recipe

ROOT = Path(__file__).parent.parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
STARTS = ("longtail ", "python tools/", "python main/", "bash data_parallel", "bash distributed_data_parallel")
OPTIONAL = re.compile(r"\[(--|KEY|STAGE|TAU)[^\]]*\]")  # of a synopsis
THEIRS = re.compile(r"config/|configs/test/")  # commands of the released systems
OWN_FILES = re.compile(r"(/|\.csv|\.txt|their_config\.yaml|my_config\.yaml)$")


def commands(text: str) -> Iterator[str]:
    """Yield the commands in code blocks and in code within sentences."""
    blocks = re.findall(r"^```[a-z]*\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)
    lines = [line.strip() for block in blocks for line in re.sub(r"\\\n\s*", " ", block).splitlines()]
    outside = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    for line in [*lines, *re.findall(r"`([^`\n]+)`", outside)]:
        if line.startswith(STARTS) and not THEIRS.search(line) and "longtail COMMAND" not in line:
            yield OPTIONAL.sub("", line)


def documented() -> list[tuple[str, str]]:
    found = {(page.name, line) for page in PAGES for line in commands(page.read_text())}
    names = {f"longtail {name}" for name in COMMANDS} - {"longtail list"}  # only the name of a command
    return sorted((page, line) for page, line in found if line not in names)


def check_config(source: str, overrides: list[str]) -> None:
    """Load and check a config or recipe, unless its name is a placeholder or a file of the user."""
    placeholder = source.isupper() or OWN_FILES.search(source)
    if placeholder or "RUN" in source or Path(source).suffix == ".yaml":
        load_config(None, overrides)
    elif is_recipe(source):
        load_recipe(source, overrides)
    else:
        cfg = load_config(source, overrides)
        check_names(cfg)
        check_start(cfg)


def check_longtail(words: list[str]) -> None:
    assert words[0] in COMMANDS or words == ["--help"], words
    assert longtail_main(words) == 0  # the program is replaced: only options are parsed
    if words[0] in ("train", "recipe", "valid", "info"):
        check_config(words[1], overrides_of(words[2:]))


def overrides_of(words: list[str]) -> list[str]:
    """Return the KEY VALUE pairs among the words after a config."""
    rest: list[str] = []
    while words:
        if words[0].endswith("-sweep"):
            words = leading_numbers(words[1:])[1]
        elif words[0].startswith("--"):
            words = words[2:]
        else:
            rest.append(words[0])
            words = words[1:]
    return [word for word in rest if word not in ("KEY", "VALUE", "KEYS", "...")]


@pytest.fixture(autouse=True)
def no_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make commands return after their arguments are parsed."""
    for command in COMMANDS.values():
        module = importlib.import_module(f"longtail.cli.{command.module}")
        monkeypatch.setattr(module, "run_program", lambda program: 0)


@pytest.mark.parametrize(("page", "line"), documented())
def test_documented_command_parses(page: str, line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    words = [word.split("|")[0] for word in shlex.split(line, comments=True)]  # of alternatives the first
    if words[0] == "longtail" and "--help" not in words:
        check_longtail(words[1:])
    elif words[0] == "longtail":
        assert words[1] in COMMANDS
    elif words[0] == "bash":
        assert (ROOT / words[1]).is_file()
        check_config(words[2], overrides_of(words[4 if words[1].startswith("data") else 5 :]))
    elif words[1].startswith("tools/") and len(words) > 2:
        module = importlib.import_module(words[1].removesuffix(".py").replace("/", "."))
        monkeypatch.setattr(module, "run_program", lambda program: 0)
        assert module.main(words[2:]) == 0
    elif words[1].startswith("main/"):
        module = importlib.import_module(f"longtail.cli.{Path(words[1]).stem}")
        assert module.script("", words[2:]) == 0
    else:
        assert (ROOT / words[1]).is_file()


def test_documents_hold_commands() -> None:
    assert len(documented()) > 60
