"""Fine-tune the default teacher on the training queries of one set: a second bi-encoder for `[[teacher.ensemble]]`.

Each query learns to be nearer to its judged document than to the other documents of its batch (multiple negatives
ranking, as in sentence-transformers). Test queries are never trained on. The licence of the set is that of the result.

Example: python -m experiments.teachers.train_bi_encoder data/tldr --out finetuned --minutes 3
"""

import argparse
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pocketrank.pipeline.retrieval.dataset import read_retrieval_set
from pocketrank.pipeline.retrieval.metrics import scored_queries
from pocketrank.pipeline.settings import TeacherSettings
from pocketrank.pipeline.teacher.bi_encoder import BiEncoder
from pocketrank.pipeline.teacher.source import resolve_teacher
from torch.nn import functional

from experiments.teachers.training_loop import train

WARMUP_STEPS = 10
SCALE = 20.0  # of the cosines, as in sentence-transformers' MultipleNegativesRankingLoss


def main() -> None:
    """Train and write a sentence-transformers folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="a folder in BEIR layout with qrels/train.tsv")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=3.0, help="of processor time")
    parser.add_argument("--pairs", type=int, default=24, help="in a step")
    parser.add_argument("--max-length", type=int, default=128)
    parser.add_argument("--learning-rate", type=float, default=3e-5)
    arguments = parser.parse_args()
    torch.manual_seed(1)
    data = read_retrieval_set(arguments.data)
    names, judged = scored_queries(data, "train"), data.judgements("train")
    teacher = BiEncoder(resolve_teacher(TeacherSettings()), TeacherSettings())
    model = teacher.model
    transformer: Any = model[0]
    model.max_seq_length = arguments.max_length
    optimiser = torch.optim.AdamW(model.parameters(), lr=arguments.learning_rate, weight_decay=0.01)
    rng = np.random.default_rng(1)
    order = rng.permutation(len(names))

    def loss_of_step(step: int) -> torch.Tensor:
        chosen = [names[order[(step * arguments.pairs + number) % len(order)]] for number in range(arguments.pairs)]
        relevant = [[name for name, grade in judged[query].items() if grade > 0] for query in chosen]
        answers = [candidates[rng.integers(len(candidates))] for candidates in relevant]
        with torch.autocast("cpu", torch.bfloat16):
            queries, documents = (
                model(model.preprocess(texts))["sentence_embedding"].float()
                for texts in ([data.queries[query] for query in chosen], [data.documents[name] for name in answers])
            )
        scores = SCALE * functional.normalize(queries, dim=1) @ functional.normalize(documents, dim=1).T
        # Another query's document that is relevant for this one too is no negative.
        also = torch.tensor([[name in judged[query] for name in answers] for query in chosen])
        scores = scores.masked_fill(also & ~torch.eye(len(chosen), dtype=torch.bool), -1e4)
        return functional.cross_entropy(scores, torch.arange(len(chosen)))

    _, steps = train(model, optimiser, loss_of_step, arguments.minutes, WARMUP_STEPS)
    shutil.copytree(teacher.files.folder, arguments.out, dirs_exist_ok=True)
    transformer.auto_model.save_pretrained(arguments.out)
    print(f"{steps} steps, written to {arguments.out}")


if __name__ == "__main__":
    main()
