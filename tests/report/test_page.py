import re
import sys
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from synth_estimators.report import evaluate_synthetic
from synth_estimators.report._html import _number

NASTY = "<script>alert('age')</script>"


def draw(seed, n=120):
    rng = np.random.default_rng(seed)
    z = rng.normal(size=n)
    frame = pd.DataFrame({NASTY: z, "b": z + 0.3 * rng.normal(size=n), "when": z.round()})
    frame.loc[:9, "b"] = np.nan
    return frame.assign(kind=np.where(z > 0, "<b>u</b>", "v & w"))


class Page(HTMLParser):
    """Tags, addresses and text of a page; fails on tags that do not match."""

    VOID = {"meta", "link", "br", "path", "col", "img", "input", "hr"}

    def __init__(self, text):
        super().__init__()
        self.tags, self.addresses, self.words, self.open = [], [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.addresses += [v for k, v in attributes if k in ("src", "href", "srcset", "action")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.words.append(data)


@pytest.fixture(scope="module")
def report():
    return evaluate_synthetic(*map(draw, range(3)), target="kind", metrics="standard")


@pytest.fixture(scope="module")
def html(report):
    return report.to_html()


def test_page_is_well_formed_and_says_what_is_needed(report, html):
    page = Page(html)
    words = " ".join(" ".join(page.words).split())
    assert words.index(report.verdict.split(".")[0]) < words.index("How to read")
    for text in ("Limit", "Floor", "Score", "seed 0", "numpy", "Training rows", "Held-out rows"):
        assert text in words
    for text in ("blind to dependence", "Tree two-sample test", "guarantee of privacy"):
        assert text in words
    for name in report.table.index:
        assert f"<code>{name}</code>" in html
    assert page.tags.count("details") >= 4
    assert html.count('class="lamp') >= len(report.table)


def test_page_needs_nothing_from_outside(html):
    page = Page(html)
    assert page.addresses == ["data:,"]
    assert "script" not in page.tags
    assert "default-src 'none'" in html
    assert not re.search(r"@import|url\(", html)
    assert "http" not in re.sub(r'http-equiv="', "", html)


def test_user_text_is_escaped(html):
    assert NASTY not in html
    assert "&lt;script&gt;alert(&#39;age&#39;)&lt;/script&gt;" in html
    assert "<b>u</b>" not in html
    assert "v &amp; w" in html


def test_light_and_dark_phone_and_print_are_provided_for(html):
    assert "prefers-color-scheme: dark" in html
    assert "width=device-width" in html
    assert "@media print" in html


def test_every_light_has_words_beside_its_colour(html):
    lamps = re.findall(r'class="lamp [^"]*">([^<]*)<', html)
    assert lamps
    assert all(re.search(r"[a-z]{2}", text) for text in lamps)


def test_save_html_writes_once_and_needs_force(report, html, tmp_path):
    path = tmp_path / "report.html"
    assert report.save_html(path) == path
    assert path.read_text(encoding="utf-8") == html
    with pytest.raises(FileExistsError, match="pass force=True to overwrite"):
        report.save_html(path)
    report.save_html(str(path), force=True)
    assert [entry.name for entry in tmp_path.iterdir()] == ["report.html"]


def test_notebooks_get_a_fragment(report, monkeypatch):
    fragment = report._repr_html_()
    Page(fragment)
    assert report.verdict in fragment
    assert "<html" not in fragment
    assert NASTY not in fragment
    monkeypatch.setitem(sys.modules, "jinja2", None)
    assert report.verdict in report._repr_html_()


def test_missing_jinja_names_the_extra(report, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(ImportError, match=r"synth-estimators\[report\]"):
        report.save_html(tmp_path / "report.html")
    assert list(tmp_path.iterdir()) == []


def test_wide_tables_are_capped():
    rng = np.random.default_rng(0)
    tables = rng.normal(size=(3, 12, 5_000)).astype(np.float32)
    report = evaluate_synthetic(*tables, metrics=["column_shapes_score"])
    html = report.to_html()
    assert len(report.columns) == 5_000
    assert html.count("<details") < 50
    assert "4,760 columns, less suspicious than these, are not listed" in html
    assert len(html) < 500_000
    assert report.to_json().count('"suspicion"') == 1000


def test_page_without_holdout_says_so():
    report = evaluate_synthetic(draw(0), None, draw(2), metrics=["column_shapes_score"])
    html = report.to_html()
    assert "none given" in html
    assert "No held-out rows were given" in html
    assert "limits are theoretical" in html


@pytest.mark.parametrize(
    ("value", "text"),
    [(np.nan, "–"), (None, "–"), (0.0, "0"), (0.51234, "0.512"), (12345.6, "12,346"), (7, "7")],
)
def test_numbers_are_short(value, text):
    assert _number(value) == text
    assert _number(0.00051) == "0.0005"
