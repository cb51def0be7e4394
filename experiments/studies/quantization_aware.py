"""What quantization-aware steps buy a trained student: cosine to the teacher and nDCG@10, rounded and trained.

Example: python -m experiments.studies.quantization_aware runs/pydocs --steps 200 --table int4 --linear int4

Goes on from the student of a finished run, once with its weights rounded in every step and once without, for as many
steps. The cosine is that of texts held back from training; nDCG@10 is asymmetric, of the test queries. Prints a
Markdown table.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import torch
from pocketrank.export.graph.schemes import FP32, Plan, make_plan
from pocketrank.export.graph.weights import TransformerWeights, read_weights
from pocketrank.export.graph.writer import write_graph
from pocketrank.export.quantization.encode_ids import encode_ids
from pocketrank.pipeline.distill.trainer import Trainer
from pocketrank.pipeline.distill.training_data import TrainingData
from pocketrank.pipeline.distill.validation import held_back
from pocketrank.pipeline.queries.tokenized_texts import tokenize
from pocketrank.pipeline.retrieval.dataset import read_retrieval_set
from pocketrank.pipeline.retrieval.metrics import evaluate_scores, scored_queries
from pocketrank.pipeline.settings import DistillSettings
from pocketrank.pipeline.student.model import FlatParameters, load_student, save_student
from pocketrank.pipeline.teacher.output import TeacherOutput
from pocketrank.pipeline.training.checkpoint import TrainingState
from pocketrank.runtime.progress import NoProgress
from pocketrank.runtime.projection import read_projection
from pocketrank.runtime.text.tokenizer_file import TextTokenizer


def main() -> None:
    """Train, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of a finished `pocketrank run`")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--learning-rate", type=float, default=DistillSettings().quantize_aware_learning_rate)
    parser.add_argument("--table", default="int4")
    parser.add_argument("--linear", default="int4")
    parser.add_argument("--seed", type=int, default=1, help="of the run, so that the same texts are held back")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    stages = arguments.run / "stages"
    student = load_student(stages / "distill" / "student")
    first = read_weights(stages / "distill" / "student")
    plan = make_plan(arguments.table, arguments.linear)
    tokenizer = stages / "vocabulary" / "tokenizer.json"
    texts = tokenize(stages / "queries" / "training.jsonl", tokenizer, student.shape.positions)
    targets = TeacherOutput(stages / "teacher").training_targets(len(texts))
    validation, _ = held_back(len(texts), np.empty(0, np.int64), arguments.seed, DistillSettings())
    held_ids = [texts.padded(np.array([row]))[0][0].tolist() for row in validation]
    corpus = read_retrieval_set(stages / "corpus")
    queries = TextTokenizer(tokenizer, student.shape.positions).ids(
        [corpus.queries[name] for name in scored_queries(corpus, "test")]
    )
    projection = read_projection(stages / "teacher" / "projection.safetensors")
    documents = projection.apply(np.load(stages / "teacher" / "documents.npy", allow_pickle=False))

    def row(name: str, weights: TransformerWeights, stored: Plan) -> None:
        graph = write_graph(weights, stored)
        cosine = float((encode_ids(graph, held_ids) * targets[validation]).sum(axis=1).mean())
        ranked = evaluate_scores(encode_ids(graph, queries) @ documents.T, corpus, "test").ndcg10.mean()
        print(f"| {name} | {len(graph):,} | {cosine:.4f} | {ranked:.4f} |", flush=True)

    def trained(rounding: Plan) -> TransformerWeights:
        parameters = FlatParameters(student.shape)
        flat = torch.zeros(parameters.length)
        for name, view in parameters.views(flat).items():
            view.copy_(student.tensors[name])
        settings = DistillSettings(
            steps=1, quantize_aware_steps=arguments.steps, quantize_aware_learning_rate=arguments.learning_rate
        )
        trainer = Trainer(settings, arguments.seed, parameters, TrainingData(texts, targets), plan=rounding)
        moments = torch.zeros(2, parameters.length)
        trainer.restore(TrainingState(1, [], {}, {"parameters": flat, "moments": moments}))
        while trainer.step < trainer.steps:
            trainer.train_step(NoProgress())
        with tempfile.TemporaryDirectory() as folder:
            save_student(Path(folder), parameters.shape, trainer.student.tensors)
            return read_weights(Path(folder))

    print("| student, file | bytes | cosine to the teacher | nDCG@10, asymmetric |")
    print("| --- | ---: | ---: | ---: |")
    words = f"{arguments.table} table, {arguments.linear} linear"
    row("as trained, fp32", first, FP32)
    row(f"as trained, {words}", first, plan)
    row(f"{arguments.steps} rounded steps, {words}", trained(plan), plan)
    more = trained(FP32)
    row(f"{arguments.steps} plain steps, fp32", more, FP32)
    row(f"{arguments.steps} plain steps, {words}", more, plan)


if __name__ == "__main__":
    main()
