"""The files that a finished run made, each with its SHA-256, so that a recipe detects lost or changed files."""

from longtail.checkpoint_file import is_intact
from longtail.files import sha256_or
from longtail.runs.directory import RunDirectory
from longtail.runs.folder import read_json

LOST = "lost"


def output_records(run: RunDirectory) -> dict[str, str]:
    """Return {path in the run directory: SHA-256} of the checkpoints that later stages may use."""
    files = sorted(file for file in run.models.glob("*.pth") if file != run.previous)
    return {str(file.relative_to(run.path)): sha256_or(file, LOST) for file in files}


def changed_outputs(run: RunDirectory) -> list[str]:
    """Return the recorded files of a finished run that are missing or have changed."""
    content = read_json(run.results)
    recorded = content.get("outputs") if isinstance(content, dict) else None
    recorded = recorded if isinstance(recorded, dict) else {}
    return [name for name, digest in recorded.items() if sha256_or(run.path / name, LOST) != digest]


def damaged_outputs(run: RunDirectory) -> list[str]:
    """Return the damaged checkpoints of an unfinished run that a resumed training would not write again.

    These may be the best ones and those of single epochs; or, if no state is intact, all states of the training.
    """
    states = run.checkpoints()
    if not any(map(is_intact, states)):
        return [str(file.relative_to(run.path)) for file in states]
    kept = sorted(file for file in run.models.glob("*.pth") if file not in (run.last, run.previous))
    return [str(file.relative_to(run.path)) for file in kept if not is_intact(file)]
