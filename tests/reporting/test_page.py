"""The HTML page: one file, without anything that could load or run other content."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

from longtail.reporting import write_page
from longtail.reporting.page import as_script_data, render

NASTY = "</script><script>alert(1)</script><!-- & {{STYLE}} \u2028 猫"


class Page(HTMLParser):
    """Tags, and the text of the data element."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.data = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1][1].get("id") == "data" and not self.data:
            self.data = data


def test_page_holds_any_text_as_data() -> None:
    page = Page(render([{"name": NASTY, "classes": {"name": [NASTY]}}]))
    assert [tag for tag, _ in page.tags].count("script") == 2
    assert json.loads(page.data)["runs"][0]["name"] == NASTY


def test_page_refers_to_nothing_outside() -> None:
    text = render([{"name": "x"}])
    for _, attributes in Page(text).tags:
        assert "src" not in attributes
        assert (attributes.get("href") or "data:").startswith("data:")
    assert set(re.findall(r"https?://[^\"'` ]+", text)) == {"http://www.w3.org/2000/svg"}
    assert "default-src 'none'" in text
    assert "innerHTML" not in text


def test_script_data_is_json_without_markup() -> None:
    text = as_script_data({"x": NASTY, "y": float("nan")})
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text) == {"x": NASTY, "y": None}


def test_write_page_replaces_the_file(tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text("old")
    write_page(tmp_path / "report.html", [{"name": "x"}])
    assert (tmp_path / "report.html").read_text().startswith("<!DOCTYPE html>")
