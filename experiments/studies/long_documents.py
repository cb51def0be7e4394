"""What training on the rest of long documents brings: the same student with and without passages, same steps.

Printed are the shares of the documents' tokens that are trained on and indexed, and nDCG@10 of training queries that
are held back here (they are in no training text): documents ranked by one vector each, of their beginning, and by the
best of their windows' vectors, which are the student's own (symmetric) or the teacher's (asymmetric).

Example: python -m experiments.studies.long_documents data/nfcorpus data/medquad --documents 5000 --seeds 1 2
"""

import argparse
import json
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from pocketrank.pipeline.corpus.sampling import hash_order
from pocketrank.pipeline.corpus.stage import run_corpus
from pocketrank.pipeline.distill.stage import run_distill
from pocketrank.pipeline.distill.validation import encode_rows
from pocketrank.pipeline.passages.output import PassagesOutput
from pocketrank.pipeline.passages.stage import StudentReading, find_passages, run_passages
from pocketrank.pipeline.queries.stage import run_queries
from pocketrank.pipeline.queries.tokenized_texts import tokenize
from pocketrank.pipeline.retrieval.dataset import RetrievalSet, read_retrieval_set, write_retrieval_set
from pocketrank.pipeline.retrieval.metrics import evaluate_scores, scored_queries, scored_rows
from pocketrank.pipeline.settings import (
    CorpusSettings,
    DistillSettings,
    QueriesSettings,
    Recipe,
    StudentSettings,
    TeacherSettings,
    VocabularySettings,
)
from pocketrank.pipeline.student.model import load_student
from pocketrank.pipeline.teacher.load import load_teacher
from pocketrank.pipeline.teacher.stage import run_teacher
from pocketrank.pipeline.teacher.vectors.pca import read_reduction
from pocketrank.pipeline.vocabulary.stage import run_vocabulary

from experiments.studies.second_teachers import Stages

HELD_BACK = 300  # training queries


def hold_back(data: Path, folder: Path) -> None:
    """Write the set `data` to `folder`, some of its training queries as the split `test` and its others left out."""
    whole = read_retrieval_set(data, ("train",))
    judged = whole.judgements("train")
    test = set(sorted(judged, key=hash_order)[:HELD_BACK])
    qrels = {
        "train": {query: grades for query, grades in judged.items() if query not in test},
        "test": {query: grades for query, grades in judged.items() if query in test},
    }
    write_retrieval_set(folder, replace(whole, qrels=qrels))


def recipe_of(data: Path, arguments: argparse.Namespace, seed: int, share: float) -> Recipe:
    """Return the recipe of a student."""
    return Recipe(
        "long-documents",
        seed=seed,
        corpus=CorpusSettings(source="beir", path=str(data), max_documents=arguments.documents),
        queries=QueriesSettings(max_texts=40_000, per_document=2),
        vocabulary=VocabularySettings(size=4096),
        teacher=TeacherSettings(dimension=128, precision="mixed"),
        student=StudentSettings(layers=2, hidden=128, heads=4, intermediate=512),
        distill=DistillSettings(steps=arguments.steps, warmup_steps=30, document_share=0.25, passage_share=share),
    )


class Windows:
    """All windows of a corpus: the document of each, and the teacher's vectors of them."""

    def __init__(self, stages: Stages, corpus: RetrievalSet) -> None:
        """Find the windows as stage `passages` does."""
        recipe, texts = stages.recipe, list(corpus.documents.values())
        student = StudentReading(stages.outputs["vocabulary"] / "tokenizer.json", recipe.student.max_length)
        found = find_passages(iter(texts), set(texts), student, load_teacher(recipe.teacher).first)
        every = range(len(found))
        self.texts = [*texts, *found.texts(iter(texts), every)]
        self.documents = np.array([*range(len(texts)), *found.rows])
        vectors = [
            np.load(stages.outputs["teacher"] / "documents.npy"),
            np.load(PassagesOutput(stages.outputs["passages"]).vectors_file),
        ]
        if len(vectors[1]) != len(found):
            raise SystemExit(f"{len(found)} passages, and {len(vectors[1])} of them drawn: take fewer --documents")
        self.teacher = np.concatenate(vectors)


def quality(queries: np.ndarray, vectors: np.ndarray, documents: np.ndarray, corpus: RetrievalSet) -> float:
    """Return nDCG@10 of the held-back queries where a document counts by its best vector."""
    scores = np.full((len(corpus.documents), len(queries)), -np.inf, np.float32)
    np.maximum.at(scores, documents, vectors @ queries.T)
    return round(float(evaluate_scores(scores.T, corpus, "test").ndcg10.mean()), 4)


def both_ways(queries: np.ndarray, vectors: np.ndarray, windows: Windows, corpus: RetrievalSet) -> dict[str, float]:
    """Return nDCG@10 by the first window of each document, and by the best of its windows."""
    count = len(corpus.documents)
    return {
        "whole": quality(queries, vectors[:count], windows.documents[:count], corpus),
        "best window": quality(queries, vectors, windows.documents, corpus),
    }


def student_vectors(stages: Stages, texts: list[str]) -> np.ndarray:
    """Return the student's vectors of texts."""
    file = stages.folder / "texts.jsonl"
    file.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
    recipe = stages.recipe
    tokens = tokenize(file, stages.outputs["vocabulary"] / "tokenizer.json", recipe.student.max_length)
    return encode_rows(load_student(stages.outputs["distill"] / "student"), tokens, np.arange(len(tokens)))


def measure(data: Path, arguments: argparse.Namespace, seed: int) -> dict[str, object]:
    """Train both students on one set and return the figures."""
    with tempfile.TemporaryDirectory(prefix="pocketrank-") as name:
        hold_back(data, Path(name) / "set")
        stages = Stages(Path(name), recipe_of(Path(name) / "set", arguments, seed, arguments.share))
        for stage in (run_corpus, run_queries, run_vocabulary, run_teacher, run_passages):
            stages.run(stage)
        corpus = read_retrieval_set(stages.outputs["corpus"])
        windows, record = Windows(stages, corpus), PassagesOutput(stages.outputs["passages"]).record()
        reduced = read_reduction(stages.outputs["teacher"] / "projection.safetensors").apply(windows.teacher)
        asked = scored_queries(corpus, "test")
        teacher = scored_rows(np.load(stages.outputs["teacher"] / "queries.npy"), corpus, "test")
        figures: dict[str, object] = {
            "set": data.name,
            "seed": seed,
            "documents": record.documents,
            "long documents": record.long_documents,
            "passages": record.drawn,
            "tokens read without": round(record.indexed_tokens / record.tokens, 4),
            "tokens trained with": round(record.trained_tokens / record.tokens, 4),
            "teacher": both_ways(teacher, windows.teacher, windows, corpus),
        }
        for title, share in (("without", 0.0), ("with", arguments.share)):
            stages.run(run_distill, recipe_of(Path(name) / "set", arguments, seed, share))
            queries = student_vectors(stages, [corpus.queries[query] for query in asked])
            figures[title] = {
                "symmetric": both_ways(queries, student_vectors(stages, windows.texts), windows, corpus),
                "asymmetric": both_ways(queries, reduced, windows, corpus),
            }
    return figures


def main() -> None:
    """Measure every set and seed, and print one JSON object each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="+", help="folders in BEIR layout with training queries")
    parser.add_argument("--documents", type=int, default=0, help="of a set, at most; 0: all")
    parser.add_argument("--share", type=float, default=0.1, help="distill.passage_share of the student with passages")
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    arguments = parser.parse_args()
    for data in arguments.data:
        for seed in arguments.seeds:
            print(json.dumps(measure(data, arguments, seed), indent=1), flush=True)


if __name__ == "__main__":
    main()
