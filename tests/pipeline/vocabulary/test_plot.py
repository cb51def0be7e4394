"""The plot of a vocabulary is a file that stands alone: well-formed, the same bytes each time, every value in it."""

import re
import xml.etree.ElementTree as ElementTree

from pocketrank.pipeline.vocabulary.plot import vocabulary_plot

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


def rings(data: bytes) -> list[str]:
    groups = ElementTree.fromstring(data).iter(f"{SVG}g")
    return [name for group in groups if (name := group.get("id", "")).startswith("chosen-")]


def test_the_chosen_vocabulary_has_a_ring_in_every_panel() -> None:
    kinds = {"wordpiece": rows(2048, 4096, 8192, chosen=4096), "unigram": rows(4096, chosen=0)}
    data = vocabulary_plot(kinds)
    assert data == vocabulary_plot(kinds)
    assert len(rings(data)) == 5
    assert all(name.startswith("chosen-wordpiece-") for name in rings(data))
    markers = [use for use in ElementTree.fromstring(data).iter(f"{SVG}use") if "wordpiece" in use.get("style", "")]
    assert len(markers) == 5 * 3 + 1  # and one in the legend
    assert b"unknown words" in data  # text is text
    assert b"prefers-color-scheme:dark" in data
    assert not re.search(rb"nan|inf|#2a78d6[^;]|20\d\d-\d\d-\d\d", data)


def test_larger_values_stand_higher_and_to_the_right() -> None:
    data = vocabulary_plot({"wordpiece": rows(2048, 8192, chosen=2048)})
    uses = [use for use in ElementTree.fromstring(data).iter(f"{SVG}use") if "wordpiece" in use.get("style", "")]
    small, large = uses[:2]  # of the first panel, bytes
    assert float(small.get("x", "")) < float(large.get("x", ""))
    assert float(small.get("y", "")) > float(large.get("y", ""))


def test_one_candidate_alone_can_be_drawn() -> None:
    assert len(rings(vocabulary_plot({"wordpiece": rows(512, chosen=512)}))) == 5
