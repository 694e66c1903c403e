"""The report in a real browser: no errors, sorting and zooming work, names are not interpreted as HTML."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from longtail.reporting import describe_run, read_run, write_page
from tests.helpers.browser import Browser, find_browser
from tests.helpers.made_up_runs import made_up_run

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_browser() is None, reason="no Chromium on this machine (Debian: apt install chromium)"),
]
NAMES = ["<script>document.title = 'run'</script>", "<img src=x onerror=alert(1)>"]
FIRST_CELLS = "[...document.querySelectorAll('#class-table tbody tr')].map(row => row.cells[0].textContent)"


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    with Browser(tmp_path / "profile") as started:
        yield started


def page_of(folder: Path, classes: int, **settings: Any) -> Path:
    """Write a synthetic run of `classes` classes and its report; return the page."""
    names = [*NAMES, *(f"class of species {i}" for i in range(2, classes))]
    run = made_up_run(folder / f"{classes}" / "2026", classes, names=names, **settings)
    write_page(run / "report.html", [describe_run(read_run(run), images=False)])
    return run / "report.html"


@pytest.mark.parametrize("classes", [10, 365, 8142])
def test_report_has_no_errors_and_zooms(browser: Browser, tmp_path: Path, classes: int) -> None:
    browser.open(page_of(tmp_path, classes, per_class=3))
    assert browser.problems == []
    assert browser.run("document.querySelectorAll('section').length") == 11
    assert browser.run("document.title").startswith("Report: ")
    shown = "Number(document.querySelector('canvas').dataset.shown)"
    assert browser.run(shown) == classes
    button = "[...document.querySelectorAll('#confusion button')].find(b => b.textContent === '{}').click()"
    browser.run(button.format("Zoom in"))
    assert browser.run(shown) == -(-classes // 2)
    for _ in range(12):
        browser.run(button.format("Zoom in"))
    assert browser.run(shown) == 4
    browser.run(button.format("Whole"))
    assert browser.run(shown) == classes
    assert browser.problems == []


def test_matrix_zooms_by_wheel_and_moves_by_drag(browser: Browser, tmp_path: Path) -> None:
    browser.open(page_of(tmp_path, 365, per_class=3))
    browser.run("document.querySelector('canvas').scrollIntoView()")
    state = "({...document.querySelector('canvas').dataset})"
    before = browser.run("scrollY")
    browser.wheel(600, 500, -100)
    assert browser.run(state)["shown"] == "365"  # not in focus: the page scrolls
    browser.run(f"scrollTo(0, {before})")
    browser.click(600, 500)
    for _ in range(6):
        browser.wheel(600, 500, -100)
    near = browser.run(
        "new Promise(done => setTimeout(() => done({...document.querySelector('canvas').dataset}), 100))"
    )
    assert int(near["shown"]) < 150
    assert int(near["column"]) > 0
    browser.send("Input.dispatchMouseEvent", {"type": "mousePressed", "x": 600, "y": 500, "button": "left"})
    browser.send("Input.dispatchMouseEvent", {"type": "mouseMoved", "x": 700, "y": 560, "button": "left", "buttons": 1})
    browser.send("Input.dispatchMouseEvent", {"type": "mouseReleased", "x": 700, "y": 560, "button": "left"})
    moved = browser.run(state)
    assert int(moved["column"]) < int(near["column"])
    assert int(moved["row"]) < int(near["row"])
    browser.move(500, 400)
    assert "true: " in browser.run("document.querySelector('.readout').textContent")


def test_pair_is_shown_in_the_matrix(browser: Browser, tmp_path: Path) -> None:
    browser.open(page_of(tmp_path, 365, per_class=9))
    browser.run("document.querySelector('table.pairs button').click()")
    assert browser.run("document.querySelector('canvas').dataset.shown") == "12"
    true, predicted, count = browser.run(
        "[...document.querySelector('table.pairs tbody tr').cells].slice(0, 3).map(cell => cell.textContent)"
    )
    text = browser.run("document.querySelector('.readout').textContent")
    assert text.startswith(f"true: {true} (")
    assert f"predicted: {predicted} (" in text
    assert f"{count} of 9 images" in text


def test_class_table_sorts_and_filters(browser: Browser, tmp_path: Path) -> None:
    browser.open(page_of(tmp_path, 365, per_class=9))
    assert browser.run(FIRST_CELLS) == [str(i) for i in range(100)]
    accuracies = "[...document.querySelectorAll('#class-table tbody tr')].map(row => Number(row.cells[5].textContent))"
    head = "[...document.querySelectorAll('#class-table th button')].find(b => b.textContent.startsWith('{}')).click()"
    browser.run(head.format("accuracy"))
    values = browser.run(accuracies)
    assert values == sorted(values, reverse=True)
    assert values[0] > values[-1]
    browser.run(head.format("accuracy"))
    assert browser.run(accuracies)[0] == 0
    assert browser.run("document.querySelector('#class-table th[aria-sort=ascending]').textContent") == "accuracy % ↑"
    browser.run(
        "Object.assign(document.querySelector('#classes input'), {value: 'species 36'})"
        ".dispatchEvent(new Event('input'))"
    )
    assert set(browser.run(FIRST_CELLS)) == {"36", "360", "361", "362", "363", "364"}


def test_header_names_the_keys_that_differ_in_the_evaluation(browser: Browser, tmp_path: Path) -> None:
    run = made_up_run(tmp_path / "run" / "2026")
    (results,) = (run / "evaluation").glob("*/results.json")
    entries = {"changed": {"TEST.TTA": "flip"}, "calibration": {"key": "TEST.TAU_NORM.TAU"}}
    results.write_text(json.dumps(json.loads(results.read_text()) | entries))
    write_page(run / "report.html", [describe_run(read_run(run), images=False)])
    browser.open(run / "report.html")
    heads = browser.run("[...document.querySelectorAll('#summary th.number')].map(head => head.textContent)")
    end = "with TEST.TTA flip; TEST.TAU_NORM.TAU was chosen on these images"
    assert heads[2] == f"evaluation of best.pth {end}"


def test_names_stay_text(browser: Browser, tmp_path: Path) -> None:
    browser.open(page_of(tmp_path, 10))
    assert browser.run("document.querySelectorAll('script').length") == 2
    assert browser.run("document.querySelectorAll('img').length") == 0
    assert browser.run("document.querySelector('#class-table tbody tr').cells[1].textContent") == NAMES[0]
    assert browser.problems == []


@pytest.mark.parametrize("dark", [False, True])
def test_several_runs_stand_side_by_side(tmp_path: Path, dark: bool) -> None:
    runs = [made_up_run(tmp_path / name / "2026", seed=seed) for seed, name in enumerate(("first", "second"))]
    other = made_up_run(tmp_path / "other" / "2026", 12)
    (other / "metrics.jsonl").unlink()
    write_page(tmp_path / "report.html", [describe_run(read_run(run), images=False) for run in [*runs, other]])
    with Browser(tmp_path / "profile", dark=dark) as browser:
        browser.open(tmp_path / "report.html")
        assert browser.problems == []
        assert browser.run("document.querySelectorAll('canvas').length") == 3
        heads = browser.run("[...document.querySelectorAll('#class-table th')].map(head => head.textContent)")
        assert heads[5:] == [
            "accuracy % (1)",
            "precision % (1)",
            "accuracy % (2)",
            "precision % (2)",
            "accuracy (2) - (1)",
        ]
        assert "Runs with other numbers of classes" in browser.run("document.getElementById('classes').textContent")
        differ = browser.run("[...document.querySelectorAll('#config tr.differs th')].map(head => head.textContent)")
        assert "RAND_SEED" in differ
        assert "metrics.jsonl holds no epochs." in browser.run("document.getElementById('curves').textContent")


def test_lines_of_the_shot_groups_of_several_runs_differ(browser: Browser, tmp_path: Path) -> None:
    runs = [made_up_run(tmp_path / name / "2026", seed=seed) for seed, name in enumerate(("first", "second"))]
    write_page(tmp_path / "report.html", [describe_run(read_run(run), images=False) for run in runs])
    browser.open(tmp_path / "report.html")
    panel = "[...document.querySelectorAll('#curves .panel')].find(p => p.textContent.includes('by shot group'))"
    look = "line => [line.getAttribute('stroke'), line.getAttribute('stroke-dasharray')].join(' ')"
    for lines in ("path.line", ".legend .swatch line"):
        drawn = browser.run(f"[...{panel}.querySelectorAll('{lines}')].map({look})")
        assert len(drawn) == len(set(drawn)) == 6


def test_report_of_one_expert_has_no_section_on_experts(browser: Browser, tmp_path: Path) -> None:
    browser.open(page_of(tmp_path, 10, experts=1))
    titles = browser.run("[...document.querySelectorAll('h2')].map(title => title.textContent)")
    links = browser.run("[...document.querySelectorAll('nav a')].map(link => link.textContent)")
    assert "Experts" not in titles + links and len(titles) == len(links) == 10
    assert browser.problems == []


def test_report_calls_images_and_accuracies_by_one_name(browser: Browser, tmp_path: Path) -> None:
    browser.open(page_of(tmp_path, 10))
    text = browser.run("document.querySelector('main').textContent")
    assert "validation images" in text and "accuracy per class" in text
    assert "test images" not in text and "recall" not in text.lower()


def test_curve_reads_out_the_epoch_under_the_pointer(browser: Browser, tmp_path: Path) -> None:
    browser.open(page_of(tmp_path, 10))
    box = browser.run(
        "(() => { const b = document.querySelector('#curves svg'); b.scrollIntoView({block: 'center'});"
        " const r = b.getBoundingClientRect(); return [r.x, r.y, r.width, r.height]; })()"
    )
    browser.move(box[0] + box[2] / 2, box[1] + box[3] / 2)
    assert "epoch 1" in browser.run("document.querySelector('#curves .legend').textContent")
