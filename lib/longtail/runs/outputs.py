"""The files that a finished run made, each with its SHA-256, so that a recipe notices what was lost or changed."""

from longtail.checkpoint_file import is_whole
from longtail.files import sha256
from longtail.runs.directory import RunDirectory
from longtail.runs.folder import read_json

LOST = "lost"


def output_records(run: RunDirectory) -> dict[str, str]:
    """Return {path in the run directory: SHA-256} of the checkpoints that later stages may take."""
    files = sorted(file for file in run.models.glob("*.pth") if file != run.previous)
    return {str(file.relative_to(run.path)): _digest(run, str(file.relative_to(run.path))) for file in files}


def changed_outputs(run: RunDirectory) -> list[str]:
    """Return the recorded files of a finished run that are missing or not what they were."""
    content = read_json(run.results)
    recorded = content.get("outputs") if isinstance(content, dict) else None
    recorded = recorded if isinstance(recorded, dict) else {}
    return [name for name, digest in recorded.items() if _digest(run, name) != digest]


def damaged_outputs(run: RunDirectory) -> list[str]:
    """Return the checkpoints of an unfinished run that resuming would not write again and that are damaged.

    These are the best ones and those of single epochs; or all states that a training could resume from.
    """
    states = run.checkpoints()
    if not any(map(is_whole, states)):
        return [str(file.relative_to(run.path)) for file in states]
    kept = sorted(file for file in run.models.glob("*.pth") if file not in (run.last, run.previous))
    return [str(file.relative_to(run.path)) for file in kept if not is_whole(file)]


def _digest(run: RunDirectory, name: str) -> str:
    try:
        return sha256(run.path / name)
    except OSError:
        return LOST
