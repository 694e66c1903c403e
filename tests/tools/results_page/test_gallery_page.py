"""The page of the gallery: it names every configuration, and shows runs for what they are."""

import json
from pathlib import Path

import pytest
from longtail.engine.recipe_file import load_recipe
from longtail.gallery import read_gallery, read_runs, same_but_for_results, write_page

from longtail.config import load_config
from longtail.errors import UserError

ROOT = Path(__file__).parents[2]
TRICK = "configs/cifar10_lt/im100/tricks/re_weighting/bsce.yaml"
RECIPE = "configs/cifar10_lt/im100/recipes/bag_of_tricks.yaml"
FILES = ("DATASET.TRAIN_JSON", "train.json", "DATASET.VALID_JSON", "valid.json")
GALLERY = read_gallery(ROOT)


def results(best, last, seed=42, epochs=200, epoch=None, **more):
    outcome = {
        name: {"epoch": epoch or epochs, "ensemble": {"top1": 1 - error / 100}}
        for name, error in (("best", best), ("last", last))
    }
    return {"seed": seed, "epochs": epochs, "images": 12406, **outcome, **more}


def write_run(folder, cfg, content):
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(cfg.dump())
    (folder / "results.json").write_text(json.dumps(content))


@pytest.fixture
def run(tmp_path):
    """Return a writer of finished runs of balanced softmax on CIFAR-10-LT 100."""

    def write(stamp, *errors, overrides=(), **more):
        cfg = load_config(ROOT / TRICK, overrides)
        write_run(tmp_path / cfg.NAME / stamp, cfg, results(*errors, seed=cfg.RAND_SEED, **more))

    return write


def own_lines(tmp_path):
    """The lines of the page that runs put there."""
    plain = write_page(GALLERY).splitlines()
    return [line for line in write_page(GALLERY, read_runs(tmp_path)).splitlines() if line and line not in plain]


def test_every_trick_and_every_recipe_is_on_the_page():
    shown = {file for _, _, file in GALLERY.entries()}
    there = {
        path.relative_to(ROOT).as_posix()
        for pattern in ("*/*/tricks/**/*.yaml", "*/*/recipes/*.yaml", "*/recipes/*.yaml")
        for path in (ROOT / "configs").glob(pattern)
    }
    assert shown - there == {
        f"configs/{file}.yaml" for file in ("imagenet_lt/ce_r10", "imagenet_lt/ce_r10_no_jitter", "inat18/ce")
    }
    assert there <= shown


def test_links_lead_to_files():
    page = write_page(GALLERY)
    links = {part.split(")")[0] for part in page.split("](../")[1:]}
    assert len(links) > 200
    assert all((ROOT / link).is_file() for link in links)


def test_texts_are_two_sentences_and_errors_are_in_percent():
    for group in GALLERY.groups:
        for row in group.rows:
            assert row.text.replace("n_c^(-1/4)", "").count(". ") <= 2, row.name
            assert row.text.count(". ") >= 1, row.name
            numbers = [number for each in row.published.values() for number in each if number is not None]
            assert numbers
            assert all(10 < number < 75 for number in numbers)
    assert all(group.rows[0].paper for group in GALLERY.groups if group.title not in ("Bags of tricks",))


def test_without_runs_our_errors_are_empty():
    lines = [line for line in write_page(GALLERY).splitlines() if line.startswith("| | here")]
    assert len(lines) == sum(len(group.rows) for group in GALLERY.groups)
    assert set(lines) == {"| | here | | | | |", "| | here | | |"}


def test_runs_of_several_seeds_become_mean_and_deviation(run, tmp_path):
    run("2026-01-01", 22.0, 22.5, overrides=["RAND_SEED", 1])
    run("2026-01-02", 99.0, 99.0, overrides=["RAND_SEED", 2])  # the same seed again below
    run("2026-01-03", 23.0, 24.5, overrides=["RAND_SEED", 2])
    assert own_lines(tmp_path) == ["| | here, Cao | 22.50 ± 0.71 / 23.50 ± 1.41 (2) | | | |"]


def test_a_run_that_has_not_ended_is_not_shown(run, tmp_path):
    run("2026-01-01", 22.0, 22.5, epoch=100)
    assert own_lines(tmp_path) == []


@pytest.mark.parametrize(
    ("name", "whose"), [("cifar10_lt", "annotation files"), ("CIFAR", "annotation files, normalised as Cui's")]
)
def test_images_are_told_apart(run, tmp_path, name, whose):
    run(
        "2026-01-01",
        22.0,
        22.5,
        overrides=["DATASET.DATASET", name, *FILES],
    )
    run("2026-01-02", 21.0, 21.5)
    lines = sorted(["| | here, Cao | 21.00 / 21.50 (1) | | | |", f"| | here, {whose} | 22.00 / 22.50 (1) | | | |"])
    assert sorted(own_lines(tmp_path)) == lines


def test_where_it_ran_does_not_matter(run, tmp_path):
    run(
        "2026-01-01",
        22.0,
        22.5,
        overrides=["OUTPUT_DIR", "x", "TRAIN.AMP", "bf16", "TRAIN.NUM_WORKERS", 3, "SAVE_STEP", 7],
    )
    assert own_lines(tmp_path) == ["| | here, Cao | 22.00 / 22.50 (1) | | | |"]


@pytest.mark.parametrize(
    ("overrides", "more", "told"),
    [
        (["TRAIN.MAX_EPOCH", 20], {"epochs": 20}, "`TRAIN.MAX_EPOCH=20`"),
        ([], {"images": 1236}, "1,236 training images"),
        (
            [*FILES, "TRAIN.MAX_EPOCH", 20],
            {"images": None, "epochs": 20},
            "`TRAIN.MAX_EPOCH=20`, number of training images unknown",
        ),
        (["VALID_STEP", 5, "DATASET.VIEWS", ["autoaugment"]], {}, "`VALID_STEP=5`, `DATASET.VIEWS=['autoaugment']`"),
    ],
)
def test_a_run_with_other_settings_is_listed_apart(run, tmp_path, overrides, more, told):
    run("2026-01-01", 22.0, 22.5, overrides=overrides, **more)
    heading, *_, line = own_lines(tmp_path)
    assert heading == "## Runs with other settings"
    whose = "annotation files" if "DATASET.TRAIN_JSON" in overrides else "Cao"
    assert line == f"| `{TRICK}`, {whose} | {told} | 22.00 / 22.50 (1) |"


@pytest.fixture
def recipe(tmp_path):
    """Return a writer of a finished bag of tricks, whose trainings end with errors of 30, 20 and 10 percent."""

    def write(*overrides):
        made = load_recipe(ROOT / RECIPE, ["OUTPUT_DIR", str(tmp_path), *overrides])
        stages = []
        for number, stage in enumerate(made.stages):
            run = made.folder / stage.name / "2026-01-01"
            content = {"seed": 42, "epochs": 0, "data": "list"}
            if stage.name != "images":
                cfg = made.load(stage, dict.fromkeys(stage.takes, "taken"))
                error = 30 - 10 * len([each for each in stages if "last" in each])
                content = results(error, error + 1, epochs=cfg.TRAIN.MAX_EPOCH)
            write_run(run, made.load(stage, dict.fromkeys(stage.takes, f"file {number}")), content)
            stages.append({"stage": stage.name, "run": f"elsewhere/{stage.name}/2026-01-01", **content})
        (made.folder / "summary.json").write_text(json.dumps({"name": made.name, "stages": stages}))

    return write


def test_a_recipe_is_shown_by_the_stage_that_counts(recipe, tmp_path):
    recipe()
    lines = own_lines(tmp_path)
    assert lines == ["| | here, Cao | 20.00 / 21.00 (1) | | | |", "| | here, Cao | 10.00 / 11.00 (1) | | | |"]
    page = write_page(GALLERY, read_runs(tmp_path)).splitlines()
    assert page[page.index(lines[0]) - 1].startswith("| Input mixup, then CAM-based class-balanced sampling |")
    assert page[page.index(lines[1]) - 1].startswith("| The same, then 20 epochs without mixup |")


def test_an_earlier_stage_with_other_settings_sets_later_ones_apart(recipe, tmp_path):
    recipe("first:TRAIN.MAX_EPOCH", "3")
    *_, second, third = own_lines(tmp_path)
    assert second == f"| `{RECIPE}` (second), Cao | `first:TRAIN.MAX_EPOCH=3` | 20.00 / 21.00 (1) |"
    assert third == f"| `{RECIPE}` (third), Cao | `first:TRAIN.MAX_EPOCH=3` | 10.00 / 11.00 (1) |"


def test_results_alone_do_not_make_a_page_out_of_date(run, recipe, tmp_path):
    run("2026-01-01", 22.0, 22.5)
    recipe("first:TRAIN.MAX_EPOCH", "3")
    filled = write_page(GALLERY, read_runs(tmp_path))
    assert filled != write_page(GALLERY)
    assert same_but_for_results(filled, write_page(GALLERY))
    assert not same_but_for_results(filled.replace("22.46", "22.47"), write_page(GALLERY))


def test_a_run_that_cannot_be_read_is_named(run, tmp_path, caplog):
    run("2026-01-01", 22.0, 22.5)
    path = tmp_path / "cifar10_im100_bsce" / "2026-01-01" / "config.yaml"
    path.write_text("NO_SUCH_KEY: 1\n")
    assert own_lines(tmp_path) == []
    assert "left out" in caplog.text
    assert "NO_SUCH_KEY" in caplog.text


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("file: tricks/baseline.yaml", "file: tricks/bseline.yaml", "tricks/bseline.yaml does not exist"),
        ("[28.05, 23.55, 62.27, 56.22]", "[28.05, 23.55]", "one number for each of 4 data sets"),
        ("title: Baseline", "titel: Baseline", "KeyError 'title'"),
    ],
)
def test_mistakes_in_the_source_are_told(tmp_path, old, new, message):
    (tmp_path / "docs").mkdir()
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    text = (ROOT / "docs" / "gallery.yaml").read_text()
    (tmp_path / "docs" / "gallery.yaml").write_text(text.replace(old, new, 1))
    with pytest.raises(UserError) as error:
        read_gallery(tmp_path)
    assert message in str(error.value)
    assert "\n" not in str(error.value)
