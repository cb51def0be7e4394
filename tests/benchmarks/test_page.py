"""The HTML page of a report: whole, loading nothing, and text in it stays text."""

import dataclasses
import importlib.util
import tomllib
from html.parser import HTMLParser
from pathlib import Path

import pytest
from builders.reports import make_report, one
from builders.tiny_recipe import REPOSITORY
from hypothesis import given, settings
from hypothesis import strategies as st
from pocketrank.benchmarks.gate import budget as budgets
from pocketrank.benchmarks.gate import judge as gate
from pocketrank.benchmarks.records import report
from pocketrank.benchmarks.render import charts
from pocketrank.benchmarks.render import page as html
from pocketrank.runtime.errors import UnavailableError

FACTS = report.ModelFacts("m", "subject", 1000, "0" * 64, 200, "0" * 64, 256)


HOSTILE = '<script>alert(1)</script>"&\x1b[31m\u202e'


class Elements(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.open = [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def hostile_report():
    rows = [one("latency_p50", 1e-3 * factor, processes=(1e-3, 1.1e-3 * factor)) for factor in (1, 2)]
    rows += [one("tokenize_p50", 1e-4), one("energy_per_query", 1e-3, "J", kind="estimated", source=HOSTILE)]
    rows += [one(f"cold_start_{part}", 0.1) for part in ("interpreter", "import", "tokenizer", "session", "first")]
    rows = [dataclasses.replace(row, model=HOSTILE, method=HOSTILE) for row in rows]
    quality = [
        one(f"ndcg10_{name}", value, "1", low=value - 0.1, high=value + 0.1)
        for name, value in (("symmetric", 0.5), ("asymmetric", 0.6), ("teacher", 0.8), ("bm25", 0.4))
    ]
    size = [one("shipped_bytes", 1200, "B", kind="counted")]
    runs = [report.Run(HOSTILE, 0, 0, "ok", count=9)]
    found = make_report(*rows, quality=quality, bundle=size, device=HOSTILE, runs=runs)
    models = (dataclasses.replace(FACTS, name=HOSTILE), dataclasses.replace(FACTS, name="teacher", role="reference"))
    device = dataclasses.replace(found.devices[0], machine={"cpu": HOSTILE, "libraries": {HOSTILE: "1"}})
    missing = (report.Unavailable(HOSTILE, HOSTILE),)
    return dataclasses.replace(found, subject=HOSTILE, models=models, devices=(device,), unavailable=missing)


def test_the_page_is_whole_and_loads_nothing(tmp_path):
    found = hostile_report()
    (tmp_path / "budget.toml").write_text('[bundle]\nshipped_bytes = "1 MB"\n', encoding="utf-8")
    limits = budgets.read_budget(tmp_path / "budget.toml")
    page = html.html_page(found, gate.judge(found, limits)).decode("utf-8")
    assert "\x1b" not in page
    assert "\u202e" not in page
    reader = Elements()
    reader.feed(page)
    assert reader.open == []
    names = {name for name, _ in reader.tags}
    assert not names & {"script", "link", "img", "iframe", "object", "base", "a"}
    for _, attributes in reader.tags:
        assert not {"src", "href", "srcset", "onclick", "onload"} & attributes.keys()
    assert "url(" not in page
    assert "http://" not in page.replace("http-equiv", "")
    assert names >= {"svg", "circle", "rect", "table"}
    assert "prefers-color-scheme: dark" in page
    assert "@media print" in page


@given(st.text(min_size=1))
@settings(max_examples=25, deadline=None)
def test_text_stays_text(text):
    found = make_report(one("latency_p50", 1e-3))
    page = html.html_page(dataclasses.replace(found, code=text)).decode("utf-8")
    reader = Elements()
    reader.feed(page)
    plain = Elements()
    plain.feed(html.html_page(found).decode("utf-8"))
    assert reader.tags == plain.tags
    assert reader.open == []


def test_the_same_report_gives_the_same_bytes():
    assert html.html_page(hostile_report()) == html.html_page(hostile_report())


def test_the_wheel_has_template_and_style_sheet():
    settings = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    folder = Path(html.__file__).parent
    matched = {
        path for pattern in settings["package-data"]["pocketrank.benchmarks.render"] for path in folder.glob(pattern)
    }
    assert {path for path in folder.iterdir() if path.is_file() and path.suffix != ".py"} == matched


def test_without_jinja2_the_message_names_the_extra(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UnavailableError, match=r"run: pip install 'pocketrank\[report\]'"):
        html.html_page(make_report(one("latency_p50", 1e-3)))


@given(st.lists(st.floats(1e-6, 1e9), min_size=1, max_size=6), st.floats(0.01, 1))
@settings(max_examples=40)
def test_charts_stay_inside_their_frame(xs, y):
    points = [charts.Point("p", x, y) for x in xs]
    rows = [charts.Row("r", tuple(xs))]
    for drawing in (
        charts.scatter(points, "x", "y", "{:g}".format),
        charts.dot_rows(rows, "{:g}".format, "all", logarithmic=True),
        charts.dot_rows([charts.Row("r", (y,), y - 0.01, y + 0.01)], "{:g}".format, "one"),
        charts.stacked_bars([charts.Row("r", (x,)) for x in xs], ("part",), "{:g}".format),
        charts.lines([("a", [(x, y) for x in xs])], "x", "{:g}".format),
    ):
        for shape in drawing.shapes:
            for names, most in ((("cx", "x1", "x2"), drawing.width), (("cy", "y1", "y2"), drawing.height)):
                for name in names:
                    assert -0.01 <= float(shape.attributes.get(name, 0)) <= most + 0.01
