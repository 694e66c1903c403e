"""Generating images: aligned and as released, stopped and resumed, finished and of other inputs, small and large."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from yacs.config import CfgNode

from longtail.config import load_config
from longtail.data import build_normalize, build_splits
from longtail.data.annotations import read_annotations
from longtail.data.cam.images import paste_foreground
from longtail.data.cam.plan import GenerationPlan, generated_per_class
from longtail.data.images.reading import read_image
from longtail.distributed import Place
from longtail.engine.interrupts import Interrupted
from longtail.errors import UserError
from longtail.models import build_model, load_released_weights, read_weights
from longtail.models.activation_maps import activation_maps
from longtail.stages import generate as generate_stage
from longtail.stages.run_config import run_config
from tests.helpers.training import CPU, NCL, TinyConfig
from tests.helpers.worlds import place_in

pytestmark = pytest.mark.slow

RATIO, TOTAL = 0.1, 697  # of Digits-LT: 100 to 10 images per class, and how many are made


@pytest.fixture
def weights(tmp_path: Path, tiny_cfg: TinyConfig) -> Any:
    """Return the path of a network that is not trained."""

    def write(*overrides: Any, classes: Any = 10, seed: Any = 0, name: Any = "net.pth", **settings: Any) -> Any:
        torch.manual_seed(seed)
        network = build_model(tiny_cfg(*overrides, **settings), classes)
        torch.save({"model": network.state_dict()}, tmp_path / name)
        return str(tmp_path / name)

    return write


@pytest.fixture
def cam_cfg(tmp_path: Path, tiny_cfg: TinyConfig, weights: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a maker of configs that generate from Digits-LT."""
    monkeypatch.setattr(generate_stage, "CHUNK", 100)
    path = weights()

    def make(*overrides: Any, folder: Any = "made", **settings: Any) -> Any:
        return tiny_cfg(
            *("DATASET.GENERATE_CAM_BASED_DATASET", True, "DATASET.CAM_DATA_SAVE_PATH", str(tmp_path / folder)),
            *("DATASET.CAM_DATA_JSON_SAVE_PATH", str(tmp_path / f"{folder}.json"), "NETWORK.PRETRAINED", True),
            *("NETWORK.PRETRAINED_MODEL", path, "DATASET.IMBALANCECIFAR.RATIO", RATIO, *overrides),
            **settings,
        )

    return make


def generate(cfg: CfgNode, place: Place = CPU) -> Path:
    """Generate; return the annotation file."""
    return generate_stage.generate(cfg, place=place)


def files(path: Path) -> dict[str, bytes]:
    return {entry["fpath"]: (path.parent / entry["fpath"]).read_bytes() for entry in content(path)["annotations"]}


def content(path: Path) -> Any:
    return json.loads(path.read_text())


def stop_at_chunk(number: int, monkeypatch: pytest.MonkeyPatch, how: Any) -> None:
    """Call a function after every image of a chunk."""
    original, write = generate_stage._Generator._chunk, generate_stage._write
    done = 0

    def chunk(self: Any, *args: Any, **options: Any) -> None:
        nonlocal done
        done += 1
        if done == number:
            monkeypatch.setattr(generate_stage, "_write", lambda path, image: (write(path, image), how(path)))
        original(self, *args, **options)

    monkeypatch.setattr(generate_stage._Generator, "_chunk", chunk)


def test_every_class_is_filled_up_with_its_own_objects(cam_cfg: Any) -> None:
    cfg = cam_cfg()
    path = run_config(cfg, "x.yaml", place=CPU)
    assert path is not None
    train = build_splits(cfg).train
    counts = train.class_counts()
    made = read_annotations(path)
    assert np.bincount(made.labels).tolist() == [110 - count for count in counts]
    assert made.labels == sorted(made.labels)
    assert made.num_classes == 10

    # One by one, in another order, with a loop of its own.
    network: Any = build_model(cfg, 10).eval()
    load_released_weights(network, read_weights(cfg.NETWORK.PRETRAINED_MODEL))
    plan = GenerationPlan(train.labels, generated_per_class(counts), seed=cfg.RAND_SEED)
    normalize, pixels = build_normalize(cfg), train.load()
    changed = 0
    for k in range(len(plan) - 1, 0, -40):
        image = pixels[plan[k].source]
        low = activation_maps(network.experts[0], normalize(image[None, None])[0], labels=torch.tensor([plan[k].label]))
        cam = torch.nn.functional.interpolate(low[None], size=(32, 32), mode="bilinear")[0, 0]
        expected = paste_foreground(image, cam, transform=plan[k].transform)
        got = read_image(made.paths[k])
        assert (got != expected).any(0).float().mean() < 0.02, k  # float32 decides pixels at the threshold
        changed += not torch.equal(got, image)
    assert changed > 5


def test_annotation_file_records_the_inputs(cam_cfg: Any) -> None:
    cfg = cam_cfg()
    path = generate(cfg)
    listed, folder = content(path), Path(cfg.DATASET.CAM_DATA_SAVE_PATH)
    assert listed["annotations"][3]["image_id"] == 3
    assert (listed["annotations"][3]["im_height"], listed["annotations"][3]["im_width"]) == (32, 32)
    assert listed["generation"]["seed"] == 42 and listed["generation"]["released"] is False
    assert sum(listed["generation"]["counts"]) == len(listed["annotations"])
    assert content(folder / "generation.json")["generation"] == listed["generation"]
    assert load_config(folder / "config.yaml") == cfg
    names = {Path(name).name for name in files(path)}
    assert {entry.name for entry in folder.iterdir()} == names | {
        *(".lock", "checksums.txt", "config.yaml", "generation.json")
    }
    assert all(name.endswith(".png") for name in names)


def test_finished_generation_does_nothing(
    cam_cfg: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "longtail")
    path = generate(cam_cfg())
    before, times = path.read_bytes(), {name: os.stat(path.parent / name).st_mtime_ns for name in files(path)}
    monkeypatch.setattr(generate_stage, "_expert", None)  # not even a network is built
    assert generate(cam_cfg("TRAIN.BATCH_SIZE", 16, "NAME", "other")) == path
    assert "lists all 697 images; there is nothing to do" in caplog.text
    assert path.read_bytes() == before
    assert {name: os.stat(path.parent / name).st_mtime_ns for name in times} == times


@pytest.mark.parametrize("released", [False, True])
def test_killed_generation_resumes(
    cam_cfg: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, released: Any
) -> None:
    keys = ["DATASET.CAM_RELEASED", released]
    whole = generate(cam_cfg(*keys, folder="whole"))
    left = tmp_path / "made"

    def die(path: Any) -> None:
        if path.name.split("_")[1].startswith("000223"):
            raise MemoryError

    with monkeypatch.context() as patch:
        stop_at_chunk(3, patch, die)
        with pytest.raises(MemoryError):
            generate(cam_cfg(*keys))
    assert not (tmp_path / "made.json").exists()
    suffix = ".jpg" if released else ".png"
    there = sorted(left.glob(f"*{suffix}"))
    assert 200 < len(there) < TOTAL
    there[0].unlink()  # wherever it is missing, it is made
    there[1].write_bytes(b"")  # what a power failure leaves
    kept = there[150].stat().st_mtime_ns
    path = generate(cam_cfg(*keys))
    assert there[150].stat().st_mtime_ns == kept
    assert {Path(k).name: v for k, v in files(path).items()} == {Path(k).name: v for k, v in files(whole).items()}


def test_lost_and_damaged_images_are_made_again(cam_cfg: Any) -> None:
    path = generate(cam_cfg())
    before = files(path)
    lost, damaged = sorted(before)[5:7]
    (path.parent / lost).unlink()
    (path.parent / damaged).write_bytes(before[damaged][:-1] + b"?")
    assert files(generate(cam_cfg())) == before


@pytest.mark.parametrize("content", [None, "", '{"generation": 3}'], ids=["lost", "empty", "other"])
def test_lost_head_of_a_generation_is_written_again(cam_cfg: Any, content: str | None) -> None:
    path = generate(cam_cfg())
    before = files(path)
    head = path.parent / "made" / "generation.json"
    written = head.read_text()
    head.unlink()
    if content is not None:
        head.write_text(content)
    (path.parent / sorted(before)[5]).unlink()
    assert files(generate(cam_cfg())) == before
    assert head.read_text() == written


def test_first_of_several_processes_generates(cam_cfg: Any) -> None:
    assert not generate(cam_cfg(), place_in(1, 2)).exists()


@pytest.mark.parametrize("first", [0, TOTAL // 100 * 100], ids=["first chunk", "last chunk"])
def test_signal_stops_a_generation_which_resumes(
    cam_cfg: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, first: int
) -> None:
    with monkeypatch.context() as patch:
        original = generate_stage._Generator._chunk

        def chunk(self: Any, numbers: range, *args: Any, **options: Any) -> None:
            if numbers.start == first:
                signal.raise_signal(signal.SIGTERM)
            original(self, numbers, *args, **options)

        patch.setattr(generate_stage._Generator, "_chunk", chunk)
        with pytest.raises(Interrupted, match="stopped by SIGTERM; the same command resumes"):
            generate(cam_cfg())
    assert len(list((tmp_path / "made").glob("*.png"))) == min(first + 100, TOTAL)
    assert not (tmp_path / "made.json").exists()
    assert len(files(generate(cam_cfg()))) == TOTAL


def test_released_generation_writes_jpeg(cam_cfg: Any) -> None:
    own = list(files(generate(cam_cfg(folder="own"))))
    released = list(files(generate(cam_cfg("DATASET.CAM_RELEASED", True, folder="released"))))
    assert len(own) == len(released)
    assert all(name.endswith(".jpg") for name in released)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["RAND_SEED", 1],
            r"was generated from other inputs: seed 42 instead of 1; delete .*made and .*made\.json to gen",
        ),
        (["DATASET.IMBALANCECIFAR.RATIO", 0.5], r"images .* instead of .*, counts \[10, "),
        (["DATASET.CAM_RELEASED", True], "released false instead of true, view"),
        (["NETWORK.PRETRAINED_MODEL", "other"], "checkpoint .* instead of"),
    ],
)
@pytest.mark.parametrize("finished", [True, False])
def test_images_of_other_inputs_are_kept(
    cam_cfg: Any, weights: Any, overrides: Any, message: Any, finished: Any
) -> None:
    path = generate(cam_cfg())
    if not finished:
        path.unlink()
    if overrides[1] == "other":
        overrides = [overrides[0], weights(seed=1, name="other.pth")]
    before = sorted(os.listdir(path.parent / "made"))
    with pytest.raises(UserError, match=message) as error:
        generate(cam_cfg(*overrides))
    assert "\n" not in str(error.value)
    assert sorted(os.listdir(path.parent / "made")) == before


def test_files_of_another_origin_are_kept(cam_cfg: Any, tmp_path: Path) -> None:
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "holiday.jpg").write_text("")
    with pytest.raises(UserError, match=r"made holds other files; use an empty folder"):
        generate(cam_cfg())
    (tmp_path / "made" / "holiday.jpg").unlink()
    (tmp_path / "made.json").write_text('[{"fpath": "a.jpg", "category_id": 0}]')
    with pytest.raises(UserError, match=r"made\.json was not generated by this project; delete "):
        generate(cam_cfg())
    assert os.listdir(tmp_path / "made") == []


def test_two_processes_do_not_write_into_one_folder(
    cam_cfg: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:

        def meanwhile(path: Any) -> None:
            with pytest.raises(UserError, match="another process is writing to DATASET"):
                generate(cam_cfg())
            raise MemoryError

        stop_at_chunk(1, patch, meanwhile)
        with pytest.raises(MemoryError):
            generate(cam_cfg())


def test_weights_that_are_not_finite_are_refused(cam_cfg: Any, weights: Any) -> None:
    path = weights(name="nan.pth")
    content = torch.load(path)
    content["model"]["experts.0.head.weight"][0, 0] = torch.nan
    torch.save(content, path)
    with pytest.raises(UserError, match=f"^weights of {path} are not finite: head.weight; use another checkpoint$"):
        generate(cam_cfg("NETWORK.PRETRAINED_MODEL", path))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["NETWORK.PRETRAINED", False], "NETWORK.PRETRAINED must be True and NETWORK.PRETRAINED_MODEL its checkpoint"),
        (["NETWORK.PRETRAINED_MODEL", ""], "NETWORK.PRETRAINED must be True"),
        (["NETWORK.PRETRAINED_MODEL", "absent.pth"], "NETWORK.PRETRAINED_MODEL absent.pth cannot be read: No such"),
        (
            ["DATASET.CAM_DATA_SAVE_PATH", ""],
            "DATASET.CAM_DATA_SAVE_PATH is empty; CAM-based sampling needs the folder",
        ),
        (["DATASET.CAM_DATA_JSON_SAVE_PATH", ""], "CAM_DATA_JSON_SAVE_PATH is empty; .* needs the annotation file"),
        (["CLASSIFIER.TYPE", "cos"], r"lacks 1 parameters of the network, such as experts\.0\.head\.bias"),
        (["BACKBONE.TYPE", "res32_cifar"], "weights do not fit|lacks|none of the"),
    ],
)
def test_invalid_recipe_is_refused_before_anything_is_written(
    cam_cfg: Any, tmp_path: Path, weights: Any, overrides: Any, message: Any
) -> None:
    if overrides[1] == "cos":
        overrides = [*overrides, "NETWORK.PRETRAINED_MODEL", weights("CLASSIFIER.TYPE", "FCNorm", name="norm.pth")]
    before = set(tmp_path.iterdir())
    with pytest.raises(UserError, match=message) as error:
        generate(cam_cfg(*overrides))
    assert "\n" not in str(error.value)
    assert set(tmp_path.iterdir()) - before <= {tmp_path / "norm.pth"}


def test_folder_that_cannot_be_created_is_refused(cam_cfg: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot be written: "):
        generate(cam_cfg("DATASET.CAM_DATA_SAVE_PATH", str(tmp_path / "file" / "made")))


def test_maps_are_those_of_the_first_expert(cam_cfg: Any, weights: Any) -> None:
    several = weights(name="ncl.pth", method=NCL)
    state = read_weights(several)
    alone = {name: value for name, value in state.items() if name.startswith("experts.0.")}
    torch.save({"model": alone}, several.replace("ncl", "one"))
    keys = ["NETWORK.PRETRAINED_MODEL", several]
    first = files(generate(cam_cfg(*keys, method=NCL, folder="ncl")))
    second = files(generate(cam_cfg("NETWORK.PRETRAINED_MODEL", several.replace("ncl", "one"), folder="one")))
    assert list(first.values()) == list(second.values())


@pytest.fixture
def large(tmp_path: Path) -> Any:
    """Write eight images of two classes that differ in size, some gray, and return the keys that read them."""
    folder = tmp_path / "large"
    folder.mkdir()
    random, entries = np.random.default_rng(0), []
    for number, (height, width) in enumerate([(70, 91), (91, 70), (66, 66), (70, 91)] * 2):
        shape = (height, width) if number % 3 == 0 else (height, width, 3)
        Image.fromarray(random.integers(0, 256, shape, dtype=np.uint8)).save(folder / f"{number}.png")
        entries.append({"fpath": f"{number}.png", "category_id": int(number > 4)})
    (folder / "all.json").write_text(json.dumps({"annotations": entries, "num_classes": 2}))
    listed = str(folder / "all.json")
    return [
        *("DATASET.DATASET", "annotations", "DATASET.TRAIN_JSON", listed, "DATASET.VALID_JSON", listed),
        *("INPUT_SIZE", (32, 32), "DATASET.CAM_NUMBER_THRES", 4),
    ]


@pytest.mark.parametrize("view", ["none", "transforms"])
@pytest.mark.parametrize("released", [False, True])
def test_large_images_fill_classes_up_to_the_threshold(
    cam_cfg: Any, weights: Any, large: Any, view: Any, released: Any
) -> None:
    cfg = cam_cfg(
        *(*large, "NETWORK.PRETRAINED_MODEL", weights(classes=2, name="two.pth"), "DATASET.TEST_VIEW", view),
        *("DATASET.CAM_RELEASED", released, "DATASET.VIEWS", ["transforms"]),
    )
    made = read_annotations(generate(cfg))
    assert made.labels == [1] * 4  # five images of class 0; of class 1 three: 5 + 3 - 3, at most 4
    sizes = {tuple(read_image(path).shape[1:]) for path in made.paths}
    assert sizes <= {(70, 91), (91, 70), (66, 66)}
    assert all(path.endswith(".jpg") for path in made.paths)
    listed = content(Path(cfg.DATASET.CAM_DATA_JSON_SAVE_PATH))["annotations"]
    assert (listed[0]["im_height"], listed[0]["im_width"]) == tuple(read_image(made.paths[0]).shape[1:])


def test_threshold_below_every_class_is_refused(cam_cfg: Any, weights: Any, large: Any) -> None:
    with pytest.raises(UserError, match=r"CAM_NUMBER_THRES is 0, but no class of .*all\.json has fewer images"):
        generate(cam_cfg(*large, "DATASET.CAM_NUMBER_THRES", 0))
