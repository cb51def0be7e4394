"""Train a small cross-encoder on a retrieval set, and measure how it reranks.

The default teacher's weights get a classification head of one output and learn to put the judged document of a
training query before hard negatives: documents that BM25 ranks high and that are not judged relevant. Test queries are
never trained on. The folder that it writes is one that `sentence_transformers.CrossEncoder` opens,
and that `[cross_encoder] model` takes.

Example: python -m experiments.teachers.train_cross_encoder data/tldr --test-split dev --out cross-encoder --minutes 10
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from pocketrank.pipeline.retrieval.bm25 import bm25_rows
from pocketrank.pipeline.retrieval.dataset import RetrievalSet, read_retrieval_set
from pocketrank.pipeline.retrieval.fusion import fuse
from pocketrank.pipeline.retrieval.metrics import evaluate_scores, scored_queries, scored_rows, top_documents
from pocketrank.pipeline.settings import TeacherSettings
from pocketrank.pipeline.teacher.bi_encoder import BiEncoder
from pocketrank.pipeline.teacher.source import resolve_teacher
from torch.nn import functional
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from experiments.teachers.training_loop import train

POOL = 20  # best documents of BM25 that negatives are drawn from
RERANKED = 50
WARMUP_STEPS = 30


def main() -> None:
    """Train, write the folder, and print what reranking gains or loses."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="a folder in BEIR layout with qrels/train.tsv")
    parser.add_argument("--out", type=Path, required=True, help="where the cross-encoder's folder goes")
    parser.add_argument("--test-split", default="test")
    parser.add_argument("--layers", type=int, default=6, help="of the teacher's, from the bottom")
    parser.add_argument("--minutes", type=float, default=10.0, help="of processor time for training")
    parser.add_argument("--steps", type=int, default=2000, help="at most")
    parser.add_argument("--queries", type=int, default=8, help="in a step")
    parser.add_argument("--negatives", type=int, default=5, help="for each query")
    parser.add_argument("--max-length", type=int, default=128)
    parser.add_argument(
        "--vectors", type=Path, help="the teacher's queries.npy and documents.npy of the whole set, where at hand"
    )
    parser.add_argument("--learning-rate", type=float, default=1e-4)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(1)

    data = read_retrieval_set(arguments.data)
    folder = resolve_teacher(TeacherSettings()).folder
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(
        folder, num_labels=1, num_hidden_layers=arguments.layers, use_safetensors=True
    )
    seconds, steps = fit(model, tokenizer, data, arguments)
    model.save_pretrained(arguments.out)
    tokenizer.model_max_length = arguments.max_length
    tokenizer.save_pretrained(arguments.out)
    (arguments.out / "README.md").write_text("---\nlicense: apache-2.0\n---\n", encoding="utf-8")

    print("ranking with BM25 and the teacher", flush=True)
    test = {
        "teacher": teacher_scores(data, arguments.test_split, arguments.vectors),
        "bm25": bm25_scores(data, arguments.test_split),
    }
    report = {
        "title": "Reranking the best 50 of teacher and BM25 with the small cross-encoder",
        "data": arguments.data.name,
        "split": arguments.test_split,
        "training_seconds": round(seconds),
        "training_steps": steps,
        "layers": arguments.layers,
        "queries": len(scored_queries(data, arguments.test_split)),
        "ndcg10": rerank(model, tokenizer, data, arguments.test_split, test, arguments.max_length),
    }
    print(json.dumps(report, indent=1))
    (arguments.out / "reranking.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def teacher_scores(data: RetrievalSet, split: str, vectors: Path | None) -> np.ndarray:
    """Return the teacher's scores [scored queries, documents]."""
    if vectors:
        queries, documents = (np.load(vectors / f"{name}.npy") for name in ("queries", "documents"))
        return scored_rows(queries, data, split) @ documents.T
    teacher = BiEncoder(resolve_teacher(TeacherSettings()), TeacherSettings())
    queries = teacher.encode([data.queries[name] for name in scored_queries(data, split)], "query")
    return queries @ teacher.encode(list(data.documents.values()), "document").T


def bm25_scores(data: RetrievalSet, split: str) -> np.ndarray:
    """Return the scores of BM25 [scored queries, documents]."""
    queries = [data.queries[name] for name in scored_queries(data, split)]
    return np.stack(list(bm25_rows(list(data.documents.values()), queries)))


def fit(model, tokenizer, data: RetrievalSet, arguments) -> tuple[float, int]:
    """Train on lists of one judged document and some negatives; return seconds and steps."""
    names, texts = scored_queries(data, "train"), list(data.documents.values())
    positions = {name: number for number, name in enumerate(data.documents)}
    judged = data.judgements("train")
    relevant = [[positions[name] for name, grade in judged[query].items() if grade > 0] for query in names]
    best = top_documents(bm25_scores(data, "train"), POOL)
    rng = np.random.default_rng(1)
    groups = [
        {"params": model.base_model.parameters(), "lr": arguments.learning_rate},
        {"params": model.classifier.parameters(), "lr": 10 * arguments.learning_rate},
    ]
    optimiser = torch.optim.AdamW(groups, weight_decay=0.01)
    order = rng.permutation(len(names))

    def loss_of_step(step: int) -> torch.Tensor:
        chosen = [order[(step * arguments.queries + number) % len(order)] for number in range(arguments.queries)]
        pairs = []
        for query in chosen:
            wrong = np.setdiff1d(best[query], relevant[query])
            if not len(wrong):  # all that BM25 ranks high is relevant
                wrong = np.setdiff1d(np.arange(len(texts)), relevant[query])
            negatives = rng.choice(wrong, arguments.negatives, replace=len(wrong) < arguments.negatives)
            rows = [rng.choice(relevant[query]), *negatives]
            pairs += [(data.queries[names[query]], texts[row]) for row in rows]
        scores = logits(model, tokenizer, pairs, arguments.max_length).view(len(chosen), -1)
        return functional.cross_entropy(scores, torch.zeros(len(chosen), dtype=torch.int64))

    model.train()
    taken = train(model, optimiser, loss_of_step, arguments.minutes, WARMUP_STEPS, arguments.steps)
    model.eval()
    return taken


def logits(model, tokenizer, pairs: list[tuple[str, str]], max_length: int) -> torch.Tensor:
    """Return the cross-encoder's scores [pairs], computed in bfloat16."""
    first, second = zip(*pairs, strict=True)
    inputs = tokenizer(
        list(first), list(second), truncation=True, max_length=max_length, padding=True, return_tensors="pt"
    )
    with torch.autocast("cpu", torch.bfloat16):
        return model(**inputs).logits[:, 0].float()


def rerank(model, tokenizer, data, split: str, scores: dict[str, np.ndarray], max_length: int) -> dict[str, float]:
    """Return nDCG@10 of each ranker, and of their fusion's best documents in the cross-encoder's order."""
    texts, names = list(data.documents.values()), scored_queries(data, split)
    fusion = fuse(scores["teacher"], scores["bm25"])
    systems = {**scores, "fusion": fusion}
    best = top_documents(fusion, RERANKED)
    cross = np.full(fusion.shape, -1e9)
    with torch.no_grad():
        for row, columns in enumerate(best):
            pairs = [(data.queries[names[row]], texts[column]) for column in columns]
            cross[row, columns] = logits(model, tokenizer, pairs, max_length).numpy()
    systems[f"cross_encoder_on_{RERANKED}"] = cross
    few = np.full(fusion.shape, -1e9)
    np.put_along_axis(few, best, np.take_along_axis(scores["teacher"], best, 1), 1)
    systems[f"teacher_on_{RERANKED}"] = few
    within = [np.take_along_axis(matrix, best, 1) for matrix in (cross, scores["teacher"])]
    both = np.full(fusion.shape, -1e9)
    np.put_along_axis(both, best, fuse(*within), 1)
    systems[f"cross_encoder_and_teacher_on_{RERANKED}"] = both
    return {
        name: round(float(evaluate_scores(matrix, data, split).ndcg10.mean()), 4) for name, matrix in systems.items()
    }


if __name__ == "__main__":
    main()
