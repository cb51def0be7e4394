"""Distillation losses by name.

A loss compares the student's unit vectors of one batch with the teacher's (reduced) unit vectors of the same texts.
To add one: write a function of an `EmbeddingBatch` that returns a scalar tensor, decorate it with `@loss`, and name it
in the recipe under `[distill.losses]` with its weight. A name with `_queries` or `_documents` behind it, such as
`cosine_queries`, applies the loss to the texts of that role alone.

A list loss compares the student's scores of a query's documents with those of a cross-encoder. It is a function of
`ListBatch`, decorated with `@list_loss`, and needs `[cross_encoder]` in the recipe. A pair loss reads of a list only
which document is best; without a cross-encoder it takes judged training queries and titles with their documents.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ...runtime.errors import InputError
from ...runtime.schema import RENAMED_KEYS, did_you_mean
from .batch import LIST_LOSSES, LOSSES, PAIR_LOSSES, EmbeddingBatch, ListBatch, ListLoss, Loss

if TYPE_CHECKING:
    import torch


_ROLES = {"_queries": False, "_documents": True}
_OF_QUERIES = ("corpus_kl", "corpus_cross_entropy")


class WeightedLosses:
    """The losses of a recipe, summed with their weights."""

    def __init__(self, weights: Mapping[str, float]) -> None:
        """Look the names up; raise `InputError` for an unknown one, or none at all."""
        self._parts: list[tuple[str, float, Loss, bool | None]] = []
        self._list_parts: list[tuple[str, float, ListLoss]] = []
        list_losses = LIST_LOSSES | PAIR_LOSSES
        for name in sorted(weights):
            base, documents = _role_of(name)
            if base not in LOSSES and name not in list_losses:
                valid = [*LOSSES, *(known + suffix for known in LOSSES for suffix in _ROLES), *list_losses]
                old = base if base in RENAMED_KEYS else name
                raise InputError(f"distill.losses: there is no loss {name!r}; {did_you_mean(old, valid)}")
            if documents and base in _OF_QUERIES:
                raise InputError(f"distill.losses.{name}: {base} is about queries alone; name it without _documents")
            if weights[name] > 0 and name in list_losses:
                self._list_parts.append((name, weights[name], list_losses[name]))
            elif weights[name] > 0:
                self._parts.append((name, weights[name], LOSSES[base], documents))
        if not self._parts and not self._list_parts:
            raise InputError("distill.losses names no loss with a weight above 0; add one, such as cosine = 1.0")

    @property
    def read_lists(self) -> bool:
        """Whether a list loss or a pair loss is among them."""
        return bool(self._list_parts)

    @property
    def read_scores(self) -> bool:
        """Whether one of them needs the scores of a cross-encoder."""
        return any(name in LIST_LOSSES for name, _, _ in self._list_parts)

    def __call__(
        self, batch: EmbeddingBatch, lists: ListBatch | None = None
    ) -> "tuple[torch.Tensor, dict[str, torch.Tensor]]":
        """Return the weighted sum, and the value of each part without its gradient.

        Parts without texts of their role count nothing.
        """
        total = batch.student.sum() * 0.0
        values: dict[str, torch.Tensor] = {}
        for name, weight, function, documents in self._parts:
            part = batch if documents is None else batch.of_role(documents)
            if len(part.student):
                value = function(part)
                total = total + weight * value
                values[name] = value.detach()
        if lists is not None:
            for name, weight, function in self._list_parts:
                value = function(lists)
                total = total + weight * value
                values[name] = value.detach()
        return total, values


def _role_of(name: str) -> tuple[str, bool | None]:
    """Return the loss that `name` means, and whether it is for documents (`None`: for all texts)."""
    for suffix, documents in _ROLES.items():
        if name.endswith(suffix):
            return name.removesuffix(suffix), documents
    return name, None
