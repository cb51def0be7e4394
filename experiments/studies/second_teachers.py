"""What a cross-encoder, or a second bi-encoder, adds to a student: the same student with and without, same steps.

Every student sees the documents and the real training queries of one set. With `--cross-encoder` three students are
trained: without lists; with the lists' texts in the batches but (next to) no weight on their scores; and with the
scores. `--dual-pooling STEPS` adds a student of the cross-encoder's dual-pooled form, whose embeddings take the place
of the teacher's. With `--ensemble` a student of the mean of both teachers' cosines is compared with one of the first
teacher alone.

Examples:
    python -m experiments.studies.second_teachers data/tldr --test-split dev --cross-encoder cross-encoder --out x.json
    python -m experiments.studies.second_teachers data/tldr --test-split dev --ensemble finetuned --out y.json
"""

import argparse
import json
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from pocketrank.pipeline.corpus.stage import run_corpus
from pocketrank.pipeline.distill.stage import run_distill
from pocketrank.pipeline.distill.validation import encode_rows
from pocketrank.pipeline.queries.stage import run_queries
from pocketrank.pipeline.queries.tokenized_texts import tokenize
from pocketrank.pipeline.retrieval.dataset import RetrievalSet, read_retrieval_set
from pocketrank.pipeline.retrieval.metrics import evaluate_scores, scored_rows
from pocketrank.pipeline.settings import (
    CorpusSettings,
    CrossEncoderSettings,
    DistillSettings,
    EnsembleMember,
    QueriesSettings,
    Recipe,
    StudentSettings,
    TeacherSettings,
    VocabularySettings,
)
from pocketrank.pipeline.stage import StageContext
from pocketrank.pipeline.student.model import load_student
from pocketrank.pipeline.teacher.cross_encoder.stage import run_cross_encoder
from pocketrank.pipeline.teacher.stage import run_teacher
from pocketrank.pipeline.teacher.vectors.pca import fit_reduction, read_reduction, write_reduction
from pocketrank.pipeline.vocabulary.stage import run_vocabulary
from pocketrank.runtime.files import write_json
from pocketrank.runtime.progress import NoProgress

DIMENSION = 128
LOSSES = {"cosine": 1.0, "similarity_matrix": 1.0}
NO_WEIGHT = 1e-9  # a loss of weight 0 is left out, and its lists with it


class Stages:
    """The stages of one recipe in a folder, run without a cache."""

    def __init__(self, folder: Path, recipe: Recipe) -> None:
        """Start with an empty folder."""
        self.folder, self.recipe = folder, recipe
        self.outputs: dict[str, Path] = {}

    def run(self, stage: Callable[[StageContext], object], recipe: Recipe | None = None) -> Path:
        """Run one stage; its output replaces that of an earlier run."""
        name = stage.__name__.removeprefix("run_")
        output, scratch = self.folder / name, self.folder / f"{name}-scratch"
        for folder in (output, scratch):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
        print(f"{name}, {time.process_time():.0f} s of processor time", flush=True)
        stage(StageContext(recipe or self.recipe, {}, dict(self.outputs), output, scratch, NoProgress()))
        self.outputs[name] = output
        return output

    def take_vectors(self, data: Path, folder: Path) -> None:
        """Write what the teacher stage would, from vectors of the whole set."""
        whole, corpus = read_retrieval_set(data), self._corpus()
        known: dict[str, dict[str, np.ndarray]] = {}
        for name, texts in (("documents", whole.documents), ("queries", whole.queries)):
            known[name] = dict(zip(texts.values(), np.load(folder / f"{name}.npy"), strict=True))
        lines = (self.outputs["queries"] / "training.jsonl").read_text(encoding="utf-8").splitlines()
        training = [
            known["documents" if value["role"] == "document" else "queries"][value["text"]]
            for value in map(json.loads, lines)
        ]
        output = self.folder / "teacher"
        output.mkdir()
        np.save(output / "training.npy", np.array(training, np.float32))
        np.save(output / "documents.npy", np.array([known["documents"][text] for text in corpus.documents.values()]))
        np.save(output / "queries.npy", np.array([known["queries"][text] for text in corpus.queries.values()]))
        write_reduction(
            output / "projection.safetensors",
            fit_reduction([np.array(training, np.float32)], self.recipe.teacher.dimension),
        )
        self.outputs["teacher"] = output

    def teacher_quality(self) -> float:
        """Return the teacher's nDCG@10."""
        queries, documents = (np.load(self.outputs["teacher"] / f"{name}.npy") for name in ("queries", "documents"))
        return self._quality(queries, documents)

    def student(self, name: str, losses: dict[str, float]) -> dict[str, float]:
        """Train a student; return its nDCG@10, symmetric and asymmetric."""
        recipe = replace(self.recipe, distill=replace(self.recipe.distill, losses=losses))
        output = self.run(run_distill, recipe)
        student = load_student(output / "student")
        vectors = {}
        for side in ("queries", "corpus"):
            texts = self.folder / "texts.jsonl"
            texts.write_text("".join(json.dumps({"text": text}) + "\n" for text in self._texts(side)), encoding="utf-8")
            tokens = tokenize(texts, self.outputs["vocabulary"] / "tokenizer.json", recipe.student.max_length)
            vectors[side] = encode_rows(student, tokens, np.arange(len(tokens)))
        reduction = read_reduction(self.outputs["teacher"] / "projection.safetensors")
        teacher_documents = reduction.apply(np.load(self.outputs["teacher"] / "documents.npy"))
        quality = {
            "symmetric": self._quality(vectors["queries"], vectors["corpus"]),
            "asymmetric": self._quality(vectors["queries"], teacher_documents),
        }
        print(name, quality, flush=True)
        return quality

    def _corpus(self) -> RetrievalSet:
        return read_retrieval_set(self.outputs["corpus"])

    def _texts(self, side: str) -> list[str]:
        corpus = self._corpus()
        if side == "corpus":
            return list(corpus.documents.values())
        return list(scored_rows(np.array(list(corpus.queries.values()), object), corpus, "test"))

    def _quality(self, queries: np.ndarray, documents: np.ndarray) -> float:
        corpus = self._corpus()
        scores = scored_rows(queries, corpus, "test") @ documents.T
        return round(float(evaluate_scores(scores, corpus, "test").ndcg10.mean()), 4)


def recipe_of(arguments: argparse.Namespace) -> Recipe:
    """Return the recipe that all students share."""
    return Recipe(
        "second-teachers",
        corpus=CorpusSettings(source="beir", path=str(arguments.data), test_split=arguments.test_split),
        queries=QueriesSettings(kinds=("query",)),
        vocabulary=VocabularySettings(size=4096, strip_accents=True),
        teacher=TeacherSettings(dimension=DIMENSION, precision="mixed", workers=1),
        student=StudentSettings(layers=2, hidden=128, heads=4, intermediate=512, max_length=128),
        distill=DistillSettings(steps=arguments.steps, warmup_steps=30, document_share=0.5, workers=1),
        cross_encoder=CrossEncoderSettings(
            model=arguments.cross_encoder, queries=arguments.queries, precision="bf16", workers=1, candidates=7
        ),
    )


def measure(arguments: argparse.Namespace, stages: Stages) -> tuple[dict[str, object], float]:
    """Train the students; return nDCG@10 of teachers and students, and processor seconds of the cross-encoder."""
    recipe = stages.recipe
    for stage in (run_corpus, run_queries, run_vocabulary):
        stages.run(stage)
    started = time.process_time()
    stages.run(run_cross_encoder)
    scoring = time.process_time() - started
    if arguments.vectors:
        stages.take_vectors(arguments.data, arguments.vectors)
    else:
        stages.run(run_teacher)
    figures: dict[str, object] = {"teacher": stages.teacher_quality(), "without": stages.student("without", LOSSES)}
    if arguments.cross_encoder:
        for name, title, weight in (
            ("texts", "texts of the lists, no scores", NO_WEIGHT),
            ("scores", "with the cross-encoder's scores", arguments.list_weight),
        ):
            figures[title] = stages.student(name, {**LOSSES, "list_kl": weight})
    if arguments.dual_pooling:
        pooled = replace(
            recipe.cross_encoder, use=("embeddings",), dual_pooling_steps=arguments.dual_pooling, queries=500
        )
        stages.recipe = replace(recipe, cross_encoder=pooled)
        stages.run(run_cross_encoder)
        stages.run(run_teacher)
        figures["the dual-pooled cross-encoder"] = stages.teacher_quality()
        figures["student of the dual-pooled cross-encoder"] = stages.student("dual", LOSSES)
    if arguments.ensemble:
        member = EnsembleMember(arguments.ensemble, weight=arguments.weight)
        stages.recipe = replace(recipe, teacher=replace(recipe.teacher, balance="none", ensemble=(member,)))
        stages.run(run_teacher)
        figures["both teachers"] = stages.teacher_quality()
        figures["student of both teachers"] = stages.student("both", LOSSES)
    return figures, scoring


def main() -> None:
    """Train the students, measure them, write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="a folder in BEIR layout with training queries")
    parser.add_argument("--test-split", default="test")
    parser.add_argument("--out", type=Path, required=True, help="JSON file of the figures")
    parser.add_argument("--cross-encoder", default="", help="folder of a cross-encoder")
    parser.add_argument("--ensemble", default="", help="folder of a second bi-encoder")
    parser.add_argument("--weight", type=float, default=1.0, help="of the second bi-encoder; the first has 1")
    parser.add_argument("--list-weight", type=float, default=0.5, help="of the loss list_kl")
    parser.add_argument("--queries", type=int, default=2000, help="that the cross-encoder scores lists for")
    parser.add_argument("--dual-pooling", type=int, default=0, metavar="STEPS", help="of dual pooling; 0: none")
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--vectors", type=Path, help="the teacher's queries.npy and documents.npy, where at hand")
    arguments = parser.parse_args()
    if arguments.dual_pooling and not arguments.cross_encoder:
        parser.error("--dual-pooling needs the folder of a cross-encoder, --cross-encoder")
    with tempfile.TemporaryDirectory(prefix="pocketrank-") as folder:
        figures, scoring = measure(arguments, Stages(Path(folder), recipe_of(arguments)))
    title = f"A cross-encoder as second teacher, its lists with weight {arguments.list_weight:g}"
    record = {
        "title": title if arguments.cross_encoder else "Several teachers",
        "data": arguments.data.name,
        "split": arguments.test_split,
        "steps": arguments.steps,
        "student": "2 layers x 128, 4,096 tokens, fp32",
        "lists": arguments.queries if arguments.cross_encoder else 0,
        "list_weight": arguments.list_weight if arguments.cross_encoder else 0,
        "dual_pooling_steps": arguments.dual_pooling,
        "scoring_processor_seconds": round(scoring, 1),
        "ndcg10": figures,
    }
    write_json(arguments.out, record)
    print(json.dumps(record, indent=1))


if __name__ == "__main__":
    main()
