"""Plots are files that stand alone: well-formed, the same bytes each time, with every value in its place."""

import re
import xml.etree.ElementTree as ElementTree

from pocketrank.pipeline.vocabulary.plot import Panel, Point, Series, svg
from pocketrank.pipeline.vocabulary.vocabulary_plot import vocabulary_plot

SVG = "{http://www.w3.org/2000/svg}"


def rows(*sizes: int, chosen: int) -> list[dict[str, float | bool]]:
    return [
        {
            "size": size,
            "table_bytes": size * 192,
            "tokens_per_query": 20 - size / 1000,
            "split_rate": 100 / size,
            "unknown_rate": 0.0,
            "score": 1.3,
            "chosen": size == chosen,
        }
        for size in sizes
    ]


def circles(data: bytes, radius: str) -> list[ElementTree.Element]:
    return [one for one in ElementTree.fromstring(data).iter(f"{SVG}circle") if one.get("r") == radius]


def test_a_plot_puts_larger_values_higher_and_to_the_right() -> None:
    points = (Point(1e6, 0.5, 0.4, 0.6, "small <b>"), Point(4e6, 0.7, label="large"))
    panel = Panel("quality", "bytes", (Series("ours", points),), levels=(("BM25", 0.66),), logarithmic=True)
    data = svg([panel])
    assert data == svg([panel])
    low, high = circles(data, "4")
    assert float(low.get("cx", "")) < float(high.get("cx", ""))
    assert float(low.get("cy", "")) > float(high.get("cy", ""))
    assert b"small &lt;b&gt;" in data
    assert b"BM25" in data


def test_the_chosen_vocabulary_has_a_ring_in_every_panel() -> None:
    data = vocabulary_plot({"wordpiece": rows(2048, 4096, 8192, chosen=4096), "unigram": rows(4096, chosen=0)})
    assert len(circles(data, "4")) == 5 * 4
    rings = circles(data, "8")
    assert len(rings) == 5
    assert {ring.get("class") for ring in rings} == {"line s1"}
    assert not re.search(rb"nan|inf", data)


def test_one_candidate_alone_can_be_drawn() -> None:
    assert len(circles(vocabulary_plot({"wordpiece": rows(512, chosen=512)}), "8")) == 5
