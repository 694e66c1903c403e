"""Generating: aligned and as released, stopped and continued, finished and of other inputs, small and large images."""

import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from longtail.engine.cam_generation import generate
from longtail.engine.stage import run_stage
from PIL import Image
from tiny import NCL

from longtail.config import load_config
from longtail.data import build_normalize, build_splits
from longtail.data.annotations import read_annotations
from longtail.data.cam.images import paste_foreground
from longtail.data.cam.plan import GenerationPlan, generated_per_class
from longtail.data.images.reading import read_image
from longtail.engine import cam_generation
from longtail.engine.interrupts import Interrupted
from longtail.errors import UserError
from longtail.models import build_model, load_released_weights, read_weights
from longtail.models.activation_maps import activation_maps

RATIO, TOTAL = 0.1, 697  # of Digits-LT: 100 to 10 images per class, and how many are made


@pytest.fixture
def weights(tmp_path, tiny_cfg):
    """Return the path of a network that nobody trained."""

    def write(*overrides, classes=10, seed=0, name="net.pth", **settings):
        torch.manual_seed(seed)
        network = build_model(tiny_cfg(*overrides, **settings), classes)
        torch.save({"model": network.state_dict()}, tmp_path / name)
        return str(tmp_path / name)

    return write


@pytest.fixture
def cam_cfg(tmp_path, tiny_cfg, weights, monkeypatch):
    """Return a maker of trees that generate from Digits-LT."""
    monkeypatch.setattr(cam_generation, "CHUNK", 100)
    path = weights()

    def make(*overrides, folder="made", **settings):
        return tiny_cfg(
            *("DATASET.GENERATE_CAM_BASED_DATASET", True, "DATASET.CAM_DATA_SAVE_PATH", str(tmp_path / folder)),
            *("DATASET.CAM_DATA_JSON_SAVE_PATH", str(tmp_path / f"{folder}.json"), "NETWORK.PRETRAINED", True),
            *("NETWORK.PRETRAINED_MODEL", path, "DATASET.IMBALANCECIFAR.RATIO", RATIO, *overrides),
            **settings,
        )

    return make


def files(path: Path) -> dict[str, bytes]:
    return {entry["fpath"]: (path.parent / entry["fpath"]).read_bytes() for entry in content(path)["annotations"]}


def content(path: Path) -> dict:
    return json.loads(path.read_text())


def stop_at_chunk(number: int, monkeypatch: pytest.MonkeyPatch, how) -> None:
    """Do something in the middle of a chunk."""
    original, write = cam_generation._Work._chunk, cam_generation._write
    done = 0

    def chunk(self, *args):
        nonlocal done
        done += 1
        if done == number:
            monkeypatch.setattr(cam_generation, "_write", lambda path, image: (write(path, image), how(path)))
        original(self, *args)

    monkeypatch.setattr(cam_generation._Work, "_chunk", chunk)


def test_every_class_is_filled_up_with_moved_objects_of_its_own(cam_cfg):
    cfg = cam_cfg()
    path = run_stage(cfg, "x.yaml", "cpu")
    train = build_splits(cfg).train
    counts = train.class_counts()
    made = read_annotations(path)
    assert np.bincount(made.labels).tolist() == [110 - count for count in counts]
    assert made.labels == sorted(made.labels)
    assert made.num_classes == 10

    # One by one, in another order, with a loop of its own.
    network = build_model(cfg, 10).eval()
    load_released_weights(network, read_weights(cfg.NETWORK.PRETRAINED_MODEL))
    plan = GenerationPlan(train.labels, generated_per_class(counts), seed=cfg.RAND_SEED)
    normalize, pixels = build_normalize(cfg), train.load()
    changed = 0
    for k in range(len(plan) - 1, 0, -40):
        image = pixels[plan[k].source]
        low = activation_maps(network.experts[0], normalize(image[None, None])[0], torch.tensor([plan[k].label]))
        cam = torch.nn.functional.interpolate(low[None], size=(32, 32), mode="bilinear")[0, 0]
        expected = paste_foreground(image, cam, transform=plan[k].transform)
        got = read_image(made.paths[k])
        assert (got != expected).any(0).float().mean() < 0.02, k  # float32 decides pixels at the threshold
        changed += not torch.equal(got, image)
    assert changed > 5


def test_the_list_says_what_it_was_made_of(cam_cfg):
    cfg = cam_cfg()
    path = generate(cfg, "cpu")
    listed, folder = content(path), Path(cfg.DATASET.CAM_DATA_SAVE_PATH)
    assert listed["annotations"][3]["image_id"] == 3
    assert (listed["annotations"][3]["im_height"], listed["annotations"][3]["im_width"]) == (32, 32)
    assert listed["generation"]["seed"] == 42 and listed["generation"]["released"] is False
    assert sum(listed["generation"]["counts"]) == len(listed["annotations"])
    assert content(folder / "generation.json")["generation"] == listed["generation"]
    assert load_config(folder / "config.yaml") == cfg
    names = {Path(name).name for name in files(path)}
    assert {entry.name for entry in folder.iterdir()} == names | {".lock", "config.yaml", "generation.json"}
    assert all(name.endswith(".png") for name in names)


def test_a_second_run_does_nothing(cam_cfg, monkeypatch, caplog):
    caplog.set_level("INFO", "longtail")
    path = generate(cam_cfg(), "cpu")
    before, times = path.read_bytes(), {name: os.stat(path.parent / name).st_mtime_ns for name in files(path)}
    monkeypatch.setattr(cam_generation, "_expert", None)  # not even a network is built
    assert generate(cam_cfg("TRAIN.BATCH_SIZE", 16, "NAME", "other"), "cpu") == path
    assert "lists all 697 images; nothing is left to do" in caplog.text
    assert path.read_bytes() == before
    assert {name: os.stat(path.parent / name).st_mtime_ns for name in times} == times


@pytest.mark.parametrize("released", [False, True])
def test_one_that_was_killed_goes_on(cam_cfg, monkeypatch, tmp_path, released):
    keys = ["DATASET.CAM_RELEASED", released]
    whole = generate(cam_cfg(*keys, folder="whole"), "cpu")
    left = tmp_path / "made"

    def die(path):
        if path.name.split("_")[1].startswith("000223"):
            raise MemoryError

    with monkeypatch.context() as patch:
        stop_at_chunk(3, patch, die)
        with pytest.raises(MemoryError):
            generate(cam_cfg(*keys), "cpu")
    assert not (tmp_path / "made.json").exists()
    suffix = ".jpg" if released else ".png"
    there = sorted(left.glob(f"*{suffix}"))
    assert 200 < len(there) < TOTAL
    there[0].unlink()  # wherever it is missing, it is made
    there[1].write_bytes(b"")  # what a power failure leaves
    kept = there[150].stat().st_mtime_ns
    path = generate(cam_cfg(*keys), "cpu")
    assert there[150].stat().st_mtime_ns == kept
    assert {Path(k).name: v for k, v in files(path).items()} == {Path(k).name: v for k, v in files(whole).items()}


def test_images_that_were_lost_are_made_again(cam_cfg):
    path = generate(cam_cfg(), "cpu")
    before = files(path)
    lost = sorted(before)[5]
    (path.parent / lost).unlink()
    assert files(generate(cam_cfg(), "cpu")) == before


def test_of_several_processes_the_first_makes_the_images(cam_cfg, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert not generate(cam_cfg(), "cpu").exists()


def test_a_signal_ends_it_in_good_order(cam_cfg, monkeypatch, tmp_path):
    with monkeypatch.context() as patch:
        original = cam_generation._Work._chunk

        def chunk(self, *args):
            signal.raise_signal(signal.SIGTERM)
            original(self, *args)

        patch.setattr(cam_generation._Work, "_chunk", chunk)
        with pytest.raises(Interrupted, match="stopped by SIGTERM; the same command goes on"):
            generate(cam_cfg(), "cpu")
    assert len(list((tmp_path / "made").glob("*.png"))) == 100
    assert len(files(generate(cam_cfg(), "cpu"))) == TOTAL


def test_as_released_maps_are_of_augmented_views_and_files_are_jpeg(cam_cfg):
    own = list(files(generate(cam_cfg(folder="own"), "cpu")))
    released = list(files(generate(cam_cfg("DATASET.CAM_RELEASED", True, folder="released"), "cpu")))
    assert len(own) == len(released)
    assert all(name.endswith(".jpg") for name in released)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["RAND_SEED", 1], r"is of other inputs: seed 42 instead of 1; delete .*made and .*made\.json to make"),
        (["DATASET.IMBALANCECIFAR.RATIO", 0.5], r"images .* instead of .*, counts \[10, "),
        (["DATASET.CAM_RELEASED", True], "released false instead of true, view"),
        (["NETWORK.PRETRAINED_MODEL", "other"], "checkpoint .* instead of"),
    ],
)
@pytest.mark.parametrize("finished", [True, False])
def test_images_of_other_inputs_are_left_alone(cam_cfg, weights, overrides, message, finished):
    path = generate(cam_cfg(), "cpu")
    if not finished:
        path.unlink()
    if overrides[1] == "other":
        overrides = [overrides[0], weights(seed=1, name="other.pth")]
    before = sorted(os.listdir(path.parent / "made"))
    with pytest.raises(UserError, match=message) as error:
        generate(cam_cfg(*overrides), "cpu")
    assert "\n" not in str(error.value)
    assert sorted(os.listdir(path.parent / "made")) == before


def test_files_that_are_no_generation_are_left_alone(cam_cfg, tmp_path):
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "holiday.jpg").write_text("")
    with pytest.raises(UserError, match=r"made holds files of no generation; name an empty folder"):
        generate(cam_cfg(), "cpu")
    (tmp_path / "made" / "holiday.jpg").unlink()
    (tmp_path / "made.json").write_text('[{"fpath": "a.jpg", "category_id": 0}]')
    with pytest.raises(UserError, match=r"made\.json is not of a generation of this project; delete "):
        generate(cam_cfg(), "cpu")
    assert os.listdir(tmp_path / "made") == []


def test_two_processes_do_not_write_into_one_folder(cam_cfg, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:

        def meanwhile(path):
            with pytest.raises(UserError, match="another process is writing to DATASET"):
                generate(cam_cfg(), "cpu")
            raise MemoryError

        stop_at_chunk(1, patch, meanwhile)
        with pytest.raises(MemoryError):
            generate(cam_cfg(), "cpu")


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
        (["CLASSIFIER.TYPE", "cos"], r"lacks 1 parameters of the network, as experts\.0\.head\.bias"),
        (["BACKBONE.TYPE", "res32_cifar"], "weights do not fit|lacks|none of the"),
    ],
)
def test_what_cannot_be_generated_is_refused_before_anything_is_written(cam_cfg, tmp_path, weights, overrides, message):
    if overrides[1] == "cos":
        overrides = [*overrides, "NETWORK.PRETRAINED_MODEL", weights("CLASSIFIER.TYPE", "FCNorm", name="norm.pth")]
    before = set(tmp_path.iterdir())
    with pytest.raises(UserError, match=message) as error:
        generate(cam_cfg(*overrides), "cpu")
    assert "\n" not in str(error.value)
    assert set(tmp_path.iterdir()) - before <= {tmp_path / "norm.pth"}


def test_a_folder_that_cannot_be_made_is_refused(cam_cfg, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot be written: "):
        generate(cam_cfg("DATASET.CAM_DATA_SAVE_PATH", str(tmp_path / "file" / "made")), "cpu")


def test_of_several_experts_the_first_draws_the_maps(cam_cfg, weights):
    several = weights(name="ncl.pth", method=NCL)
    state = read_weights(several)
    alone = {name: value for name, value in state.items() if name.startswith("experts.0.")}
    torch.save({"model": alone}, several.replace("ncl", "one"))
    keys = ["NETWORK.PRETRAINED_MODEL", several]
    first = files(generate(cam_cfg(*keys, method=NCL, folder="ncl"), "cpu"))
    second = files(generate(cam_cfg("NETWORK.PRETRAINED_MODEL", several.replace("ncl", "one"), folder="one"), "cpu"))
    assert list(first.values()) == list(second.values())


@pytest.fixture
def large(tmp_path):
    """Write eight images of two classes that differ in size, some grey, and return the keys that read them."""
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
def test_large_images_of_all_sizes_grow_the_classes_below_the_threshold(cam_cfg, weights, large, view, released):
    cfg = cam_cfg(
        *(*large, "NETWORK.PRETRAINED_MODEL", weights(classes=2, name="two.pth"), "DATASET.TEST_VIEW", view),
        *("DATASET.CAM_RELEASED", released, "DATASET.VIEWS", ["transforms"]),
    )
    made = read_annotations(generate(cfg, "cpu"))
    assert made.labels == [1] * 4  # five images of class 0; of class 1 three: 5 + 3 - 3, at most 4
    sizes = {tuple(read_image(path).shape[1:]) for path in made.paths}
    assert sizes <= {(70, 91), (91, 70), (66, 66)}
    assert all(path.endswith(".jpg") for path in made.paths)
    listed = content(Path(cfg.DATASET.CAM_DATA_JSON_SAVE_PATH))["annotations"]
    assert (listed[0]["im_height"], listed[0]["im_width"]) == tuple(read_image(made.paths[0]).shape[1:])


def test_a_threshold_under_which_there_is_no_class_is_refused(cam_cfg, weights, large):
    with pytest.raises(UserError, match=r"CAM_NUMBER_THRES is 0: no class of .*all\.json has fewer images"):
        generate(cam_cfg(*large, "DATASET.CAM_NUMBER_THRES", 0), "cpu")
