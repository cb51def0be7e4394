"""Stage distill: initialise the student, train it, keep its best weights."""

import numpy as np

from ...runtime.documents.json_files import read_json_lines
from ...runtime.files import read_json, write_json
from ..corpus.output import CorpusOutput
from ..losses.weighted import WeightedLosses
from ..passages.output import PassagesOutput
from ..quantize.recipe_plan import trained_plan
from ..queries.output import QueriesOutput
from ..queries.tokenized_texts import TokenizedTexts, tokenize
from ..stage import StageContext
from ..student.initialization import fit_projection, random_weights, transfer_weights
from ..student.model import FlatParameters, Student, save_student, shape_of
from ..student.start import open_start
from ..student.static_initialization import start_static
from ..teacher.output import CrossEncoderOutput, TeacherOutput
from ..training.accelerator import TrainingDevice, repeatable_arithmetic, usable_device
from ..training.checkpoint import read_checkpoint
from ..vocabulary.output import VocabularyOutput
from ..vocabulary.tokenizer_file import read_tokens
from .output import DistillOutput
from .relevance_pairs import known_pairs
from .trainer import Trainer
from .training_data import TrainingData


def run_distill(context: StageContext) -> None:
    """Train and write `student/`, `log.json` (loss by step), `speed.json` (timings), `start.json` and `held_back.json`.

    `start.json` says where the first weights came from. The last holds the judged training queries that were held
    back: later choices may rest on them.
    """
    import torch

    torch.set_num_threads(1)
    torch.set_flush_denormal(True)  # moments that fade to denormal numbers would slow the update
    device = usable_device(context.recipe.distill.device)
    try:
        with repeatable_arithmetic(device):
            _distill(context, TrainingDevice.chosen(device))
    finally:
        # The stages that follow must compute the same whether this one ran in their process or was kept.
        torch.set_flush_denormal(False)


def _distill(context: StageContext, device: TrainingDevice) -> None:
    recipe, output = context.recipe, DistillOutput(context.output)
    tokenizer_file, training_file = VocabularyOutput.of(context).tokenizer_file, QueriesOutput.of(context).training_file
    texts = tokenize(training_file, tokenizer_file, recipe.student.max_length)
    targets = TeacherOutput.of(context).training_targets(len(texts))
    lists = (
        CrossEncoderOutput.of(context).score_lists(len(texts)) if CrossEncoderOutput.stage in context.inputs else None
    )
    count = len(texts)
    texts, targets = _with_passages(context, texts, targets)
    tokens = read_tokens(tokenizer_file)
    parameters = FlatParameters(shape_of(recipe.student, len(tokens), targets.shape[1]))
    plan = trained_plan(recipe.quantize) if recipe.distill.quantize_aware_steps else None
    pairs = known_pairs(CorpusOutput.of(context).retrieval_set(), training_file)
    if lists is None and not WeightedLosses(recipe.distill.losses).read_scores:
        lists = pairs.lists()
    data = TrainingData(texts, targets, pairs, lists, len(texts) - count)
    trainer = Trainer(recipe.distill, recipe.seed, parameters, data, plan=plan, device=device)
    if recipe.distill.validation_texts and not len(trainer.validation.excluded):
        context.progress.note("  fewer than 10 training texts: none is held back, so how training goes is not measured")
    state = read_checkpoint(context.scratch / "checkpoint.safetensors")
    if state is not None and trainer.fits(state):
        context.progress.note(f"  going on from step {state.step:,}")
        trainer.restore(state)
    elif parameters.shape.static:
        start_static(context, trainer.student.tensors, tokens, texts, targets, trainer.trained)
        start = "random" if recipe.student.initialise == "random" else "teacher"
        write_json(context.scratch / "start.json", {"start": start, "spelled": {}})
    else:
        _initialise(context, trainer.student, tokens, texts, trainer.trained)
        fit_projection(trainer.student, texts, targets, trainer.trained)
    trainer.train(context)
    save_student(output.student, parameters.shape, trainer.student.tensors)
    write_json(context.output / "log.json", {"texts": len(texts), "steps": trainer.steps, "points": trainer.log})
    write_json(output.start_file, read_json(context.scratch / "start.json"))
    write_json(context.output / "speed.json", trainer.speed())
    held_back = set(trainer.validation.query_rows.tolist())
    lines = read_json_lines(training_file)
    queries = [value["text"] for row, (_, value) in enumerate(lines) if row in held_back]
    write_json(output.held_back_file, {"queries": queries})


def _with_passages(
    context: StageContext, texts: TokenizedTexts, targets: np.ndarray
) -> tuple[TokenizedTexts, np.ndarray]:
    """Return texts and targets with those of the passages of long documents behind them."""
    if not context.recipe.distill.passage_share or not PassagesOutput.of(context).record().drawn:
        return texts, targets
    passages = PassagesOutput.of(context)
    cut = tokenize(passages.texts_file, VocabularyOutput.of(context).tokenizer_file, context.recipe.student.max_length)
    vectors = passages.targets(TeacherOutput.of(context).reduction(), len(cut))
    return texts.followed_by(cut), np.concatenate([targets, vectors])


def _initialise(
    context: StageContext, student: Student, tokens: list[str], texts: TokenizedTexts, rows: np.ndarray
) -> None:
    """Fill all of a transformer student but the projection, as `student.initialise` says."""
    start = open_start(context, tokens)
    context.progress.note(f"  {start.describe()}")
    write_json(context.scratch / "start.json", {"start": start.name, "spelled": start.spelled})
    if start.source is None:
        random_weights(student.tensors, context.recipe.seed)
    else:
        transfer_weights(student, start.source, tokens=tokens, seed=context.recipe.seed, texts=texts, rows=rows)
