"""Sizes of the CADEL configs, and the subsets of the short runs."""

import json
from pathlib import Path

import pytest
from cadel_steps import CLASSES, RELEASED, agrees, sizes_of
from short_runs.subsets import line, main, write_subset

from longtail.config import load_config


@pytest.mark.slow
@pytest.mark.parametrize("source", [source for source, known in RELEASED.items() if known[0] is not None])
def test_networks_have_the_released_sizes(source: str) -> None:
    sizes, released = sizes_of(load_config(source), CLASSES[source.split(",")[0]]), RELEASED[source]
    for own, known in zip((sizes.parameters, sizes.trunk, sizes.rest), released, strict=True):
        assert agrees(own, known)


def test_subset_keeps_the_first_images_of_every_class(tmp_path: Path) -> None:
    entries = [{"fpath": f"{label}/{number}.jpg", "category_id": label} for label in (0, 1, 2) for number in range(5)]
    (tmp_path / "all.json").write_text(json.dumps({"annotations": entries[:11], "num_classes": 3}))
    path = write_subset(tmp_path / "all.json", tmp_path / "some.json", fraction=0.4)
    content = json.loads(path.read_text())
    assert content["num_classes"] == 3
    assert [Path(entry["fpath"]).relative_to(tmp_path).as_posix() for entry in content["annotations"]] == [
        *("0/0.jpg", "0/1.jpg", "1/0.jpg", "1/1.jpg", "2/0.jpg"),
    ]


def test_subset_command_says_what_it_wrote_or_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, target = tmp_path / "all.json", tmp_path / "some.json"
    assert main([str(source), str(target), "--fraction", "0.5"]) == 2
    assert str(source) in capsys.readouterr().err
    entries = [{"fpath": f"{number}.jpg", "category_id": 0} for number in range(4)]
    source.write_text(json.dumps({"annotations": entries, "num_classes": 1}))
    assert main([str(source), str(target), "--fraction", "0.5"]) == 0
    assert capsys.readouterr().out == f"{target}: 2 images\n"


def test_line_shows_mean_and_deviation() -> None:
    cells = line("name", [{"top1": 0.5, "few": 0.1}, {"top1": 0.7, "few": 0.1}], minutes=2.0).split()
    assert cells == ["name", "60.0", "±14.1", "-", "-", "10.0", "±", "0.0", "2.0"]
