"""What a bundle's bill of materials says about the data."""

import json

from pocketrank.pipeline.packaging.sources import data_sources
from pocketrank.pipeline.settings import CorpusSettings, Recipe
from pocketrank.pipeline.stage import StageContext
from pocketrank.runtime.progress import NoProgress


def test_the_licence_of_texts_is_what_the_recipe_says(tmp_path):
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "manifest.json").write_text(json.dumps({"sha256": "0" * 64}))
    for licence in ("", "CC-BY-4.0"):
        corpus = CorpusSettings(source="texts", path="notes/manual.md", licence=licence)
        inputs = {"corpus": tmp_path / "corpus"}
        context = StageContext(Recipe("r", corpus=corpus), {}, inputs, tmp_path, tmp_path, NoProgress())
        (source,) = data_sources(context)
        assert (source.name, source.licence, source.sha256) == ("manual.md", licence, "0" * 64)
