"""Records of runs: small JSON files under docs/records, one per training or stage."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from longtail.config import load_config
from longtail.errors import UserError
from longtail.runs.directory import RunDirectory
from longtail.runs.folder import read_json
from longtail.runs.loggers import read_history
from longtail.runs.results import is_outcome
from longtail.user_files import is_file
from tools.json_records import read_folder
from tools.run_settings import differences, settings_of, stage_settings


@dataclass(frozen=True)
class Record:
    """One training, or one stage of a recipe.

    Attributes:
        config: Composition that was trained, for example cifar10_im100_json,ce.
        stage: Stage of a recipe; empty: not a recipe.
        seed: RAND_SEED.
        epochs: Epochs of the schedule.
        reached: Epochs that were trained.
        last: Accuracies of the ensemble after the last epoch; empty if it was not evaluated.
        best: Epoch and top-1 of the best evaluated epoch, selected on the reported images.
        train_images: Number of training images.
        images: How the images differ from the data set, for example "JPEG, quality 75".
        precision: off, bf16 or fp16; of a resumed run that of its first process.
        hours: Duration.
        settings: Keys that change what is computed and were not at their defaults.
        environment: Hardware, versions, commit.
        began: Date and time.
        code: Released code that was trained with and its commit; empty: longtail.
    """

    config: str
    stage: str
    seed: int
    epochs: int
    reached: int
    last: dict[str, float]
    best: dict[str, float]
    train_images: int
    images: str
    precision: str
    hours: float
    settings: Mapping[str, Any] = field(default_factory=dict)
    environment: dict[str, Any] = field(default_factory=dict)
    began: str = ""
    code: str = ""

    @property
    def finished(self) -> bool:
        """Whether the whole schedule was trained and evaluated."""
        return self.reached >= self.epochs and bool(self.last)

    @property
    def differs(self) -> dict[str, Any]:
        """Settings that differ from its config as it is today; none of released code, which has its own configs.

        Raises:
            UserError: The config does not exist any more.
        """
        return {} if self.code else differences(self.settings, stage_settings(self.config, self.stage))

    @property
    def file(self) -> str:
        """Name of its file."""
        name = self.config.replace(",", "_") + (f"-{self.stage}" if self.stage else "")
        return f"{name}{'-released' if self.code else ''}-seed{self.seed}.json"

    def to_json(self) -> str:
        """Return its JSON text."""
        return json.dumps(asdict(self), indent=1) + "\n"


def make_record(run: RunDirectory, config: str, *, stage: str = "", images: str = "") -> Record:
    """Return the record of a run directory.

    Args:
        run: Run directory.
        config: Composition of data and method, or of data and recipe.
        stage: Stage of the recipe.
        images: See `Record`.

    Raises:
        UserError: It is not a run directory, or the config does not exist.
    """
    content = read_json(run.results)
    results = content if is_outcome(content) else {}
    if not is_file(run.config) or not (results or run.metrics.is_file()):
        raise UserError(f"{run.path} is not the directory of a run that was trained")
    stage_settings(config, stage)  # they must exist
    cfg = load_config(run.config)
    history = read_history(run.metrics)
    reached = max((record["epoch"] for record in history if record["split"] == "train"), default=0)
    last, best = results.get("last") or {}, results.get("best") or {}
    environment = read_json(run.environment) or {}
    return Record(
        config=config,
        stage=stage,
        seed=cfg.RAND_SEED,
        epochs=results.get("epochs", cfg.TRAIN.MAX_EPOCH),
        reached=reached,
        last=rounded(last.get("ensemble", {})) if last.get("epoch", 0) >= reached else {},
        best={"epoch": best["epoch"], "top1": round(best["ensemble"]["top1"], 6)} if best else {},
        train_images=results.get("images", 0),
        images=images,
        precision=environment.get("precision") or results.get("precision", cfg.TRAIN.AMP),
        hours=round(_seconds(results, history) / 3600, 3),
        settings=settings_of(cfg),
        environment=kept_environment(environment),
        began=run.path.name,
    )


def read_records(folder: Path) -> list[Record]:
    """Read all records of a folder.

    Raises:
        UserError: A file is not a record.
    """
    return read_folder(folder, Record)


def _seconds(results: dict[str, Any], history: list[dict[str, Any]]) -> float:
    return float(max(results.get("seconds", 0.0), sum(record.get("seconds", 0.0) for record in history)))


def rounded(accuracies: Mapping[str, float]) -> dict[str, float]:
    """Return accuracies with six decimals."""
    return {name: round(value, 6) for name, value in accuracies.items()}


def kept_environment(content: dict[str, Any]) -> dict[str, Any]:
    """Return the entries of environment.json to keep."""
    names = ("processor", "cores", "threads", "devices", "commit", "data", "precision", "resumed")
    kept: dict[str, Any] = {name: content[name] for name in names if name in content}
    versions = {"python": content.get("python", ""), **content.get("versions", {})}
    kept["versions"] = {name: versions[name] for name in ("python", "torch", "torchvision") if name in versions}
    return kept
