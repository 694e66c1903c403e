"""environment.json."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from longtail.distributed import Place
from longtail.runs.environment import commit_of, describe, resumed, short_commit


def test_describe_names_command_versions_and_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["main/train.py", "--cfg", "a b"])
    content = json.loads(json.dumps(describe(Place(), {"train": "abc"})))
    assert content["command"].endswith("main/train.py --cfg 'a b'")
    assert content["versions"]["torch"].startswith("2.")
    assert content["devices"] == ["cpu"] and content["processes"] == 1 and content["cuda"] is None
    assert content["data"] == {"train": "abc"}
    assert len((content["commit"] or "0" * 40).rstrip("+")) == 40


def test_resumed_adds_what_changed_since_the_newest_process() -> None:
    first = describe(Place(), {"train": "abc"})
    assert resumed(first, first, 3) == first
    other = {**first, "devices": ["GPU"], "command": "another"}
    second = resumed(first, other, 4)
    assert second == {**first, "resumed": [{"epoch": 4, "devices": ["GPU"]}]}
    assert resumed(second, other, 5) == second
    assert resumed(second, first, 6)["resumed"] == [{"epoch": 4, "devices": ["GPU"]}, {"epoch": 6, "devices": ["cpu"]}]


def test_describe_outside_of_a_repository_has_no_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*args: object, **kwargs: object) -> None:
        raise FileNotFoundError("git")

    monkeypatch.setattr("longtail.runs.environment.subprocess.run", missing)
    assert describe(Place(), {})["commit"] is None


def test_commit_says_whether_files_under_the_folder_were_changed(tmp_path: Path) -> None:
    code = tmp_path / "code"
    code.mkdir()
    for file in (code / "a.py", tmp_path / "record.json"):
        file.write_text("1")
    assert commit_of(code) is None
    user = ["-c", "user.name=a", "-c", "user.email=a@b"]
    for command in (["init", "-q"], ["add", "."], [*user, "commit", "-q", "-m", "begin"]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    (tmp_path / "record.json").write_text("2")
    commit = commit_of(code) or ""
    assert len(commit) == 40 and commit_of(tmp_path) == commit + "+"
    (code / "a.py").write_text("2")
    assert commit_of(code) == commit + "+"


@pytest.mark.parametrize(
    ("commit", "short"), [("0123456789" * 4, "01234567"), ("0123456789" * 4 + "+", "01234567+"), (None, "")]
)
def test_short_commit_says_whether_files_were_changed(commit: str | None, short: str) -> None:
    assert short_commit(commit) == short
