"""Sets of several languages are joined into one, and measured each by itself."""

from pathlib import Path

import numpy as np
from pocketrank.pipeline.retrieval.dataset import RetrievalSet, read_retrieval_set, write_retrieval_set

from experiments.studies.languages import join, ndcg, part_of


def test_languages_keep_their_names_and_are_ranked_among_their_own_documents(tmp_path: Path) -> None:
    for language, word in (("de", "Haus"), ("fr", "maison")):
        documents = {"1": f"{word} eins", "2": "zwei"}
        judged = {"test": {"q": {"1": 1}}}
        write_retrieval_set(tmp_path / language, RetrievalSet(documents, {}, {"q": word}, judged))
    write_retrieval_set(tmp_path / "joined", whole := join(tmp_path))
    assert read_retrieval_set(tmp_path / "joined").documents == whole.documents
    assert whole.documents == {"de/1": "Haus eins", "de/2": "zwei", "fr/1": "maison eins", "fr/2": "zwei"}
    assert whole.qrels["test"] == {"de/q": {"de/1": 1}, "fr/q": {"fr/1": 1}}

    part, queries, documents = part_of(whole, "fr", "test")
    assert (queries.tolist(), documents.tolist()) == ([1], [2, 3])
    # The German page is nearest of all and does not count: it is no document of this language.
    query, vectors = np.array([[0.0, 1.0], [1.0, 0.0]]), np.array([[1.0, 0.0], [1.0, 0.0], [0.9, 0.1], [0.5, 0.5]])
    assert ndcg(query[queries], vectors[documents], part, "test").tolist() == [1.0]
