"""Tests that the documented commands parse."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.scripts import load_script

ROOT = Path(__file__).parents[3]
TOOLS = sorted(
    [*(ROOT / "tools").glob("convert_*.py"), ROOT / "tools/make_cifar_lt.py", ROOT / "tools/replace_path.py"]
)
TEXTS = [*TOOLS, ROOT / "README.md", ROOT / "docs/annotation_format.md", *(ROOT / "docs/datasets").glob("*.md")]
COMMAND = re.compile(r"^ *python (tools/(?:convert_|make_|replace_)\w+\.py .*(?:(?<=\\)\n.*)*)$", re.MULTILINE)
COMMANDS = sorted({match[1].replace("\\\n", " ") for text in TEXTS for match in COMMAND.finditer(text.read_text())})


def main(tool: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return the entry point of a tool that only parses its arguments."""
    module = load_script(str(tool.relative_to(ROOT)))
    monkeypatch.setattr(module, "run_program", lambda program: 0)
    return module.main


@pytest.mark.parametrize("command", COMMANDS)
def test_documented_commands_parse(monkeypatch: pytest.MonkeyPatch, command: Any) -> None:
    tool, *arguments = shlex.split(command)
    assert main(ROOT / tool, monkeypatch)(arguments) == 0


@pytest.mark.parametrize("tool", TOOLS, ids=lambda path: path.name)
def test_help_shows_a_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tool: Any) -> None:
    with pytest.raises(SystemExit) as ended:
        main(tool, monkeypatch)(["--help"])
    assert ended.value.code == 0
    assert f"    python tools/{tool.name} --" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("convert_from_tfrecords", "--input_path a --output_path b"),
        ("convert_from_tfrecords", "--input_path a"),
        ("convert_from_ImageNet", "--input_path a --image_path b --output_path c"),
        ("convert_from_iNat", "--input_json_file a --image_path b --output_json_file c"),
        ("replace_path", "--json_file a -f b -r c"),
        ("replace_path", "--json_file a --find_root b --replaces_to c"),
    ],
)
def test_released_arguments_parse(monkeypatch: pytest.MonkeyPatch, tool: Any, arguments: Any) -> None:
    assert main(ROOT / "tools" / f"{tool}.py", monkeypatch)(arguments.split()) == 0


@pytest.mark.parametrize("tool", TOOLS, ids=lambda path: path.name)
def test_wrong_arguments_are_refused_in_one_line(capsys: pytest.CaptureFixture[str], tool: Any) -> None:
    with pytest.raises(SystemExit) as ended:
        load_script(str(tool.relative_to(ROOT))).main(["--no-such-option"])
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and line.endswith("; --help explains the command")
