"""The command `longtail`."""

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

from longtail import __version__
from longtail.cli.list_configs import describe, list_configs
from longtail.cli.main import COMMANDS, main
from longtail.config import short_names
from tests.helpers.scripts import ROOT


def run(*words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, "-m", "longtail", *words], capture_output=True, text=True)


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    for name, command in COMMANDS.items():
        assert re.search(rf"^  {name} +{re.escape(command.help)}$", shown, re.MULTILINE)
    assert main([]) == 2
    assert capsys.readouterr().out == shown


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"longtail {__version__}\n"


@pytest.mark.parametrize(("word", "hint"), [("trian", "; did you mean train?"), ("--cfg", "")])
def test_unknown_command_is_refused(word: str, hint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([word]) == 2
    assert capsys.readouterr().err == f"error: unknown command {word!r}; available: {', '.join(COMMANDS)}{hint}\n"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert callable(importlib.import_module(f"longtail.cli.{COMMANDS[name].module}").main)
    with pytest.raises(SystemExit) as end:
        main([name, "--help"])
    assert end.value.code == 0
    assert f"usage: longtail {name}" in capsys.readouterr().out


def test_list_prints_every_short_name_with_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    for name in short_names():
        (line,) = (line for line in lines if line.split()[:1] == [name])
        assert line.endswith(".") and len(line.split()) > 1
    list_configs()


def test_describe_leaves_out_the_command(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("# longtail train a\n# What it is.\nTRAIN: {}\n# Not this.\n")
    assert describe(path) == "What it is."
    path.write_text("TRAIN: {}\n# Not this.\n")
    assert describe(path) == ""


def test_installed_command_is_this_function() -> None:
    """`pip install` makes a script of the entry in pyproject.toml."""
    (target,) = re.findall(r'^longtail = "(.*)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    module, function = target.split(":")
    assert getattr(importlib.import_module(module), function) is main


@pytest.mark.slow
def test_module_is_the_command() -> None:
    shown = run("--version")
    assert (shown.returncode, shown.stdout) == (0, f"longtail {__version__}\n")
    assert run("absent").returncode == 2


def test_help_and_mistyped_keys_do_not_wait_for_torch() -> None:
    code = (
        "import sys; from longtail.cli.main import main\n"
        "assert main(['--help']) == 0 and main(['list']) == 0\n"
        "assert main(['train', 'digits_lt,ce', 'TRAIN.MAX_EPOHC', '3']) == 2\n"
        "sys.exit('torch' in sys.modules)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr.endswith("unknown key TRAIN.MAX_EPOHC; did you mean TRAIN.MAX_EPOCH?\n")
