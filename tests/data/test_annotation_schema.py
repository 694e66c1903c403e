"""Tests that the JSON schema of annotation files agrees with the reader and the converters."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from longtail.data.annotations import VERSION, load_annotations
from longtail.data.convert.split import Split, write_split
from longtail.errors import UserError

DOCS = Path(__file__).parents[2] / "docs"
SCHEMA = json.loads((DOCS / "annotation_format.schema.json").read_text())
TYPES: dict[str, Any] = {"object": dict, "array": list, "string": str, "integer": int, "number": (int, float)}
NOTES = {"$schema", "title", "description"}
GOOD = {"fpath": "a.jpg", "category_id": 0}


def valid(value: Any, schema: Any = SCHEMA) -> bool:
    """Validate a value; only the keywords that the schema uses are supported."""
    assert not schema.keys() - NOTES - {
        "type", "required", "properties", "const", "minimum", "items", "minItems", "minLength"
    }  # fmt: skip
    kind = schema.get("type")
    if kind and (not isinstance(value, TYPES[kind]) or isinstance(value, bool)):
        return False
    if "const" in schema and value != schema["const"]:
        return False
    if isinstance(value, dict):
        parts = schema.get("properties", {})
        return set(schema.get("required", ())) <= value.keys() and all(
            valid(value[name], part) for name, part in parts.items() if name in value
        )
    if isinstance(value, list):
        return len(value) >= schema.get("minItems", 0) and all(valid(item, schema.get("items", {})) for item in value)
    if isinstance(value, str):
        return len(value) >= schema.get("minLength", 0)
    return not isinstance(value, (int, float)) or value >= schema.get("minimum", value)


@pytest.mark.parametrize(
    ("content", "good"),
    [
        ({"annotations": [GOOD], "num_classes": 1}, True),
        ({"version": 1, "annotations": [GOOD | {"image_id": "x", "more": []}], "num_classes": 1, "more": 1}, True),
        ({"version": 1, "annotations": [GOOD], "num_classes": 1, "classes": ["a"]}, True),
        ({"annotations": [GOOD | {"weight": 0.5}, GOOD | {"weight": 0}], "num_classes": 1}, True),
        ({"annotations": [GOOD | {"weight": -1}], "num_classes": 1}, False),
        ({"annotations": [GOOD | {"weight": "1"}], "num_classes": 1}, False),
        ({"version": 2, "annotations": [GOOD], "num_classes": 1}, False),
        ({"version": "1", "annotations": [GOOD], "num_classes": 1}, False),
        ({"annotations": [], "num_classes": 1}, False),
        ({"annotations": [GOOD], "num_classes": 0}, False),
        ({"annotations": [GOOD], "num_classes": True}, False),
        ({"annotations": [GOOD]}, False),
        ({"num_classes": 1}, False),
        ({"annotations": {"0": GOOD}, "num_classes": 1}, False),
        ([GOOD], False),
        ({"annotations": [GOOD | {"fpath": ""}], "num_classes": 1}, False),
        ({"annotations": [GOOD | {"fpath": None}], "num_classes": 1}, False),
        ({"annotations": [{"fpath": "a.jpg"}], "num_classes": 1}, False),
        ({"annotations": [GOOD | {"category_id": -1}], "num_classes": 1}, False),
        ({"annotations": [GOOD | {"category_id": "0"}], "num_classes": 1}, False),
        ({"annotations": ["a.jpg"], "num_classes": 1}, False),
    ],
)
def test_schema_agrees_with_load_annotations(tmp_path: Path, content: Any, good: Any) -> None:
    path = tmp_path / "x.json"
    path.write_text(json.dumps(content))
    assert valid(content) == good
    if good:
        assert load_annotations(path) == content
    else:
        with pytest.raises(UserError):
            load_annotations(path)


def test_write_split_follows_schema(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    write_split(
        path,
        Split(
            ["/b/\u00e9.jpg", str(tmp_path / "c/d.jpg")],
            [1, 0],
            num_classes=2,
            sizes=[(3, 4), (5, 6)],
            classes=["ant", "bee"],
        ),
    )
    written = json.loads(path.read_text())
    assert valid(written)
    assert written == {
        "version": VERSION,
        "num_classes": 2,
        "classes": ["ant", "bee"],
        "annotations": [
            {"image_id": 0, "fpath": "/b/\u00e9.jpg", "im_height": 3, "im_width": 4, "category_id": 1},
            {"image_id": 1, "fpath": "c/d.jpg", "im_height": 5, "im_width": 6, "category_id": 0},
        ],
    }
    assert len(path.read_text().splitlines()) == 4  # one line per annotation


def test_documentation_example_follows_schema(tmp_path: Path) -> None:
    example = re.search(r"```json\n(.*?)```", (DOCS / "annotation_format.md").read_text(), re.DOTALL)
    assert example
    (tmp_path / "x.json").write_text(example[1])
    assert valid(load_annotations(tmp_path / "x.json"))


def test_documentation_links_exist() -> None:
    pages = [DOCS / "annotation_format.md", *(DOCS / "datasets").glob("*.md")]
    assert len(pages) >= 6
    for page in pages:
        for link in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / link).exists(), f"{page.name}: {link}"
