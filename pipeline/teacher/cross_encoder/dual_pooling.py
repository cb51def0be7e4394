"""Turn a cross-encoder into a dual-pooled one, whose vectors a student can match (EmbedDistill, arXiv 2301.12005).

A cross-encoder keeps its judgement in one token of a pair. Dual pooling reads the pair as before, takes the mean of
the query's tokens and the mean of the document's tokens, and lets their dot product be the score. No cross-encoder is
trained that way, so the change takes some fine-tuning: the dual-pooled scores learn the cross-encoder's own.

A student needs the vector of a text by itself. In a pair, a query's vector depends on the document that it is read
with; matching it for every document of its list would teach a student their mean. So the transformer learns to give
that mean when it reads the text alone: three losses, each over the lists of a step.

    joint   the dot products of the pairs, as score lists, against the cross-encoder's
    alone   the dot products of the vectors of texts read alone, against the same
    match   cosine between a text's vector alone and its vectors in pairs

The gradient of `match` goes both ways: two vectors that see each other could agree on any score between them, and this
keeps them about their own texts.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ....export.bundle.sentence_transformers_folder import modules_list
from ....runtime.errors import InputError
from ....runtime.files import write_bytes, write_json
from ....runtime.progress import Progress
from ...losses.batch import TEMPERATURE
from ...losses.lists import list_divergence
from ...settings import CrossEncoderSettings
from ...training.checkpoint import TrainingState, read_checkpoint, write_checkpoint
from ..score_lists import ABSENT, ScoreLists
from .model import CrossEncoder

if TYPE_CHECKING:
    import torch

_CHECKPOINT_SECONDS = 60.0
_WARM_UP = 0.1  # share of the steps


class DualPooled:
    """The transformer of a cross-encoder, read with two pools."""

    def __init__(self, model: CrossEncoder) -> None:
        self.model = model
        self.transformer: Any = model.model.base_model

    def joint(self, queries: Sequence[str], documents: Sequence[str]) -> "tuple[torch.Tensor, torch.Tensor]":
        """Return unit vectors [pairs, hidden] of the queries and of the documents, each pair read together."""
        import torch

        tokens = self.model.tokens(queries, documents)
        mask = tokens.inputs["attention_mask"]
        is_document = torch.arange(mask.shape[1])[None, :] >= torch.tensor(tokens.document_starts)[:, None]
        hidden = self.transformer(**tokens.inputs).last_hidden_state.float()
        return _mean(hidden, mask * ~is_document), _mean(hidden, mask * is_document)

    def alone(self, texts: Sequence[str]) -> "torch.Tensor":
        """Return unit vectors [texts, hidden] of texts read one by one."""
        inputs = self.model.tokenizer(
            list(texts), truncation=True, max_length=self.model.max_length, padding=True, return_tensors="pt"
        )
        hidden = self.transformer(**inputs).last_hidden_state.float()
        return _mean(hidden, inputs["attention_mask"])

    def save(self, folder: Path, card: str) -> None:
        """Write a sentence-transformers folder that reads texts alone: transformer, mean of the tokens, unit length."""
        from safetensors.torch import save

        folder.mkdir(parents=True, exist_ok=True)
        config = {**self.transformer.config.to_dict(), "architectures": [type(self.transformer).__name__]}
        tensors = {name: tensor.contiguous() for name, tensor in self.transformer.state_dict().items()}
        write_bytes(folder / "model.safetensors", save(tensors, {"format": "pt"}))
        self.model.tokenizer.save_pretrained(folder)
        (folder / "2_Normalize").mkdir(exist_ok=True)
        files: dict[str, Any] = {
            "config.json": config,
            "modules.json": modules_list([("Transformer", ""), ("Pooling", "1_Pooling"), ("Normalize", "2_Normalize")]),
            "1_Pooling/config.json": {
                "word_embedding_dimension": self.transformer.config.hidden_size,
                "pooling_mode_mean_tokens": True,
            },
            "sentence_bert_config.json": {"max_seq_length": self.model.max_length, "do_lower_case": False},
        }
        for name, value in files.items():
            write_json(folder / name, value)
        write_bytes(folder / "README.md", card.encode("utf-8"))


def _mean(hidden: "torch.Tensor", mask: "torch.Tensor") -> "torch.Tensor":
    from torch.nn import functional

    weights = mask.to(hidden.dtype)[:, :, None]
    return functional.normalize((hidden * weights).sum(1) / weights.sum(1).clamp_min(1), dim=1)


class DualPoolingTrainer:
    """Fine-tunes a dual-pooled cross-encoder; a pure function of lists, settings and seed."""

    def __init__(
        self, pooled: DualPooled, texts: Sequence[str], lists: ScoreLists, settings: CrossEncoderSettings, seed: int
    ) -> None:
        import torch

        self._pooled, self._texts, self._lists, self._settings, self._seed = pooled, texts, lists, settings, seed
        # The pooler is not read, and gets no gradient.
        named = pooled.transformer.named_parameters()
        self._parameters = [parameter for name, parameter in named if not name.startswith("pooler.")]
        self._optimiser = torch.optim.AdamW(self._parameters, lr=0.0, weight_decay=0.01)
        self.step = 0
        self.log: list[dict[str, Any]] = []

    def train(self, checkpoint: Path, progress: Progress) -> dict[str, Any]:
        """Run the remaining steps; return the losses of the first and of the last tenth."""
        state = read_checkpoint(checkpoint)
        if state is not None:
            self._restore(state)
        total, saved = self._settings.dual_pooling_steps, time.monotonic()
        with progress.task("dual pooling", total, "steps", done=self.step) as task:
            while self.step < total:
                self.log.append(self.train_step())
                task.advance()
                if time.monotonic() - saved >= _CHECKPOINT_SECONDS and self.step < total:
                    write_checkpoint(checkpoint, self._state())
                    saved = time.monotonic()
        tenth = max(total // 10, 1)
        return {"steps": total, "first": _means(self.log[:tenth]), "last": _means(self.log[-tenth:])}

    def train_step(self) -> dict[str, float]:
        """Compute one step and update the weights; return the parts of the loss."""
        import torch

        settings = self._settings
        total = settings.dual_pooling_steps
        rate = min((self.step + 1) / (_WARM_UP * total + 1), 1 - self.step / total)
        for group in self._optimiser.param_groups:
            group["lr"] = settings.dual_pooling_learning_rate * rate
        rng = np.random.default_rng([self._seed, 23, self.step])
        chosen = np.sort(rng.choice(len(self._lists), min(settings.dual_pooling_queries, len(self._lists)), False))
        with torch.autocast("cpu", torch.bfloat16, enabled=settings.precision == "bf16"):
            parts = self.losses(chosen)
        loss = torch.stack(list(parts.values())).sum()
        if not bool(torch.isfinite(loss)):
            raise InputError(
                f"dual pooling diverged at step {self.step}; lower cross_encoder.dual_pooling_learning_rate "
                f"({settings.dual_pooling_learning_rate:g})"
            )
        self._optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self._parameters, 1.0)
        self._optimiser.step()
        self.step += 1
        return {name: float(f"{float(value.detach()):.6g}") for name, value in parts.items()}

    def losses(self, chosen: np.ndarray) -> "dict[str, torch.Tensor]":
        """Return the losses over some lists, by name."""
        import torch

        rows = self._lists.rows[chosen]
        present = torch.from_numpy(rows[:, 1:] != ABSENT)
        wanted = torch.from_numpy(self._lists.scores[chosen])
        positions = torch.nonzero(present)  # of pairs: list, candidate
        queries = [self._texts[int(rows[position, 0])] for position in positions[:, 0].tolist()]
        documents = [self._texts[int(rows[position, 1 + column])] for position, column in positions.tolist()]
        joint_queries, joint_documents = self._pooled.joint(queries, documents)
        alone_queries = self._pooled.alone([self._texts[int(row)] for row in rows[:, 0]])[positions[:, 0]]
        alone_documents = self._pooled.alone(documents)

        def as_lists(values: torch.Tensor) -> torch.Tensor:
            return torch.zeros(present.shape).masked_scatter(present, values)

        joint = as_lists((joint_queries * joint_documents).sum(1)) / TEMPERATURE
        alone = as_lists((alone_queries * alone_documents).sum(1)) / TEMPERATURE
        same = (alone_queries * joint_queries).sum(1) + (alone_documents * joint_documents).sum(1)
        return {
            "joint": list_divergence(joint, wanted, present),
            "alone": list_divergence(alone, wanted, present),
            "match": 1 - same.mean() / 2,
        }

    def _state(self) -> TrainingState:
        import torch

        tensors = {"parameters": torch.cat([parameter.detach().reshape(-1) for parameter in self._parameters])}
        for name in ("exp_avg", "exp_avg_sq"):
            moments = [self._optimiser.state[each].get(name, torch.zeros_like(each)) for each in self._parameters]
            tensors[name] = torch.cat([moment.reshape(-1) for moment in moments])
        return TrainingState(self.step, self.log, {}, tensors)

    def _restore(self, state: TrainingState) -> None:
        import torch

        sizes = [parameter.numel() for parameter in self._parameters]
        parts = {name: tensor.split(sizes) for name, tensor in state.tensors.items()}
        with torch.no_grad():
            for number, parameter in enumerate(self._parameters):
                parameter.copy_(parts["parameters"][number].view_as(parameter))
                self._optimiser.state[parameter] = {
                    "step": torch.tensor(float(state.step)),
                    "exp_avg": parts["exp_avg"][number].view_as(parameter).clone(),
                    "exp_avg_sq": parts["exp_avg_sq"][number].view_as(parameter).clone(),
                }
        self.step, self.log = state.step, state.log


def _means(points: Sequence[dict[str, float]]) -> dict[str, float]:
    return {name: round(float(np.mean([point[name] for point in points])), 5) for name in points[0]}
