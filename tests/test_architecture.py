"""The structure of the package: imports between its rooms, small functions, and new parts in one file each."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from yacs.config import CfgNode

import longtail
from longtail.checkpoint_file import read_checkpoint
from longtail.data import Batch
from longtail.losses import Loss
from longtail.methods import METHODS, Method, Step
from longtail.methods.base import TrainingData, loss_terms, stacked_views
from longtail.methods.registry import register
from longtail.models import NETWORKS, Output
from tests.helpers.training import read_json, read_records, stop_after, tiny_config, train, without_figures

PACKAGE = Path(longtail.__file__).parent
FUNCTION_LINES = 63  # the longest function, which draws the curves of a training
FUNCTION_ARGUMENTS = 11  # of a loss whose arguments a contract fixes; next come 10
FILE_LINES = 400

BASE = {
    "errors",
    "files",
    "user_files",
    "output_folders",
    "registry",
    "processors",
    "cpu_load",
    "standard_output",
    "host_copies",
    "precision",
}
KNOWS: dict[str, set[str]] = {  # room -> rooms and modules that it may import, in addition to `BASE`
    "errors": set(),
    "files": set(),
    "registry": set(),
    "user_files": set(),
    "output_folders": set(),
    "processors": set(),
    "cpu_load": set(),
    "standard_output": set(),
    "threads": set(),
    "host_copies": set(),
    "precision": set(),
    "checkpoint_file": set(),
    "clustering": set(),
    "config": set(),
    "distributed": set(),
    "evaluation": set(),
    "data": {"config", "evaluation"},
    "losses": {"config", "distributed"},
    "models": {"config", "distributed", "checkpoint_file"},
    "methods": {"config", "data", "distributed", "evaluation", "losses", "models", "clustering"},
    "runs": {"config", "distributed", "methods", "checkpoint_file"},
    "engine": {"config", "data", "distributed", "evaluation", "methods", "models", "losses", "runs"},
}
KNOWS["reporting"] = {"config", "data", "evaluation", "runs"}
ANY = set(KNOWS) | {"stages"}  # for those at the top
KNOWS |= {"stages": ANY - {"stages"}, "predicting": ANY, "comparing": ANY}
KNOWS |= {"api": set(KNOWS), "cli": set(KNOWS) | {"longtail"}, "__main__": {"cli"}}
KNOWS["__init__"] = {"api", "config"}


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def sources() -> Iterator[tuple[Path, ast.Module]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        yield path, parsed(path)


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(tree: ast.Module) -> Iterator[str]:
    """Yield the rooms of the package that a module imports, wherever the import is."""
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            module = str(node.module)
            names = [f"longtail.{alias.name}" for alias in node.names] if module == "longtail" else [module]
        for name in names:
            parts = name.split(".")
            if parts[0] == "longtail":
                yield parts[1] if len(parts) > 1 and not parts[1].startswith("__") else "longtail"


def test_rooms_import_one_way() -> None:
    found = {(room_of(path), other) for path, tree in sources() for other in imported(tree)}
    wrong = {(room, other) for room, other in found if other not in KNOWS[room] | BASE | {room}}
    assert not wrong
    assert len(found) > 50


@pytest.mark.slow
def test_rooms_are_known() -> None:
    assert {room_of(path) for path, _ in sources()} == set(KNOWS)


def test_methods_are_named_in_their_room_only() -> None:
    """No other module branches on the name of a method; `config` knows the released names."""
    shared = {"cascade", "supervised", "plain", "mixup"}  # also names of networks and files
    names = set(METHODS) - shared
    wrong = [
        (path.name, node.value)
        for path, tree in sources()
        if room_of(path) not in ("methods", "config")
        for compared in ast.walk(tree)
        if isinstance(compared, ast.Compare)
        for node in ast.walk(compared)
        if isinstance(node, ast.Constant) and node.value in names
    ]
    assert not wrong


def test_functions_are_short_and_take_few_arguments() -> None:
    for path, tree in sources():
        assert len(path.read_text().splitlines()) <= FILE_LINES, path
        for node in ast.walk(tree):
            if not isinstance(node, ast.FunctionDef):
                continue
            where = f"{path.relative_to(PACKAGE)}:{node.lineno} {node.name}"
            assert node.end_lineno is not None and node.end_lineno - node.lineno < FUNCTION_LINES, where
            own = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            assert len([argument for argument in own if argument.arg not in ("self", "cls")]) <= FUNCTION_ARGUMENTS, (
                where
            )


def test_library_does_not_print_evaluate_text_or_choose_a_device() -> None:
    for path, tree in sources():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
                plain = isinstance(node.func, ast.Name)
                assert not (plain and name in ("print", "eval", "exec")), f"{path}:{node.lineno}"
                assert name != "cuda", f"{path}:{node.lineno}"


class Prototypes(Method):
    """Cross-entropy, plus the distance of features to the class means of the last epoch."""

    means: Tensor

    def __init__(self, network: nn.Module, loss: Loss, data: TrainingData, *, width: int) -> None:
        super().__init__(network, loss)
        self.register_buffer("means", torch.zeros(len(data.class_counts), width))
        self.scale = nn.Linear(1, 1)
        self.steps = 0

    def on_epoch_start(self, epoch: int, data: TrainingData) -> None:
        features = data.outputs(self.evaluated()).features[0]
        self.means = torch.zeros_like(self.means).index_reduce(0, data.labels, features, "mean", include_self=False)

    def training_step(self, batch: Batch) -> Step:
        images, targets = stacked_views(batch)
        output = self.network(images)
        terms = loss_terms(self.loss, output, targets=targets)
        distance = (output.features[0] - self.means[targets]).pow(2).sum(1).mean()
        terms["distance"] = self.scale(distance.reshape(1, 1)).sigmoid().mean()
        return Step.of(terms, output, targets=targets)

    def trainable(self) -> dict[str, nn.Module]:
        return {**super().trainable(), "scale": self.scale}


class Pixels(nn.Module):
    """Two linear heads on the averages of 4x4 pixels."""

    description = "2 linear heads on pixels"
    num_layers = 1
    lr_scales: dict[str, float] = {}  # noqa: RUF012  (never changed)

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.linear = nn.ModuleList(nn.Linear(48, num_classes) for _ in range(2))
        self.head_kinds = ["FC", "FC"]

    @property
    def heads(self) -> list[nn.Module]:
        return list(self.linear)

    def layer_of(self, name: str) -> int:
        return 0

    def no_decay(self) -> set[str]:
        return set()

    def forward(self, images: Tensor) -> Output:
        features = nn.functional.adaptive_avg_pool2d(images, 4).flatten(1)
        return Output(torch.stack([head(features) for head in self.linear]), features.expand(2, -1, -1))


@pytest.fixture
def extensions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Register the method and the network for one test."""
    for registry in (METHODS, NETWORKS):
        monkeypatch.setattr(registry, "_entries", dict(registry._entries))
    NETWORKS.register("pixels")(lambda cfg, num_classes: Pixels(num_classes))

    @register("prototypes")
    def build(cfg: CfgNode, network: nn.Module, loss: Loss, data: TrainingData) -> Prototypes:
        return Prototypes(network, loss, data, width=48)


@pytest.mark.slow
def test_new_method_and_network_train_resume_and_are_evaluated(
    extensions: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is one class of less than 60 lines; the loop, checkpoints and evaluation do not depend on them."""
    without_figures(monkeypatch)
    monkeypatch.setattr("longtail.stages.evaluate._write_details", lambda *args, **kwargs: None)
    settings = ["NETWORK.TYPE", "pixels", "TRAIN.COMBINER.TYPE", "prototypes"]
    whole = train(tiny_config(tmp_path / "whole", *settings))
    results = read_json(whole.results)
    assert results["experts"] == len(results["last"]["experts"]) == 2
    records = read_records(whole, "train")
    assert all("loss/distance" in record for record in records)
    assert records[-1]["loss"] < records[0]["loss"]
    assert longtail.evaluate(whole.path, gpus="cpu")["ensemble"] == results["best"]["ensemble"]

    cfg = tiny_config(tmp_path / "stopped", *settings)
    with monkeypatch.context() as patch:
        stop_after(6, patch)
        with pytest.raises(Exception, match="SIGTERM"):
            train(cfg)
    first, second = (read_checkpoint(run.last) for run in (whole, train(cfg)))
    assert first["method"].keys() == {"means", "scale.weight", "scale.bias"}
    for part in ("model", "method"):
        for name, value in first[part].items():
            assert torch.equal(value, second[part][name]), name
    assert first["method"]["means"].abs().max() > 0
