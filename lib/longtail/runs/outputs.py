"""The files that a finished run made, each with its SHA-256, so that a recipe notices what was lost or changed."""

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


def _digest(run: RunDirectory, name: str) -> str:
    try:
        return sha256(run.path / name)
    except OSError:
        return LOST
