"""Where a student's first weights come from: as the recipe says, or chosen by what each start can spell.

The token vectors of a new vocabulary are composed of an old one's. Where the old tokenizer cannot spell a token, or
spells many alike, their vectors say nothing: the English general student has two different ones for a Russian
vocabulary of 1,603. So the general student is taken for a vocabulary that it spells, and else whichever of it and the
teacher spells more; where neither spells half, weights begin at random.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ..stage import StageContext
from ..teacher.load import load_teacher, torch_weights, without_files
from ..teacher.selection import selected_teacher, surroundings
from ..vocabulary.token_mapping import Speller, spell_all
from .initialization import Source, teacher_source
from .pretrained import general_folder, read_general

_ENOUGH, _HALF = 0.9, 0.5  # of the vocabulary
_NAMES = {"general": "the general student", "teacher": "the teacher", "random": "random weights"}


@dataclass(frozen=True)
class Start:
    """A start, the model that it comes from (none at random), and how much of the vocabulary each one spells."""

    name: str  # general, teacher or random
    source: Source | None = None
    spelled: dict[str, float] = field(default_factory=dict)  # share of the tokens, of each start that was looked at

    def describe(self) -> str:
        """Return the start in words."""
        figures = ", ".join(f"{_NAMES[name]} spells {share:.1%}" for name, share in self.spelled.items())
        part = "token vectors of " if self.source and not self.source.encoder else ""  # it has no layers as the student
        return f"first weights: {part}{_NAMES[self.name]}" + (f" ({figures} of the vocabulary)" if figures else "")


def open_start(context: StageContext, tokens: Sequence[str]) -> Start:
    """Open the model that a transformer student with the vocabulary `tokens` starts from."""
    asked, spelled = context.recipe.student.initialise, {}
    if asked == "random":
        return Start("random")
    general = None
    if asked != "teacher":
        general = read_general(general_folder(context.recipe.student))
        spelled["general"] = spelled_share(general.tokenizer, tokens)
        if asked == "general" or spelled["general"] >= _ENOUGH:
            return Start("general", general, spelled)
    teacher = _teacher(context)
    if teacher is not None:
        spelled["teacher"] = spelled_share(teacher.tokenizer, tokens)
    if asked == "teacher":
        return Start("teacher" if teacher else "random", teacher, spelled)
    name, share = max(spelled.items(), key=lambda item: item[1])  # the general student where both spell as much
    if share < _HALF:
        return Start("random", None, spelled)
    return Start(name, teacher if name == "teacher" else general, spelled)


def _teacher(context: StageContext) -> Source | None:
    """Return the teacher as a start; nothing where it has no table of tokens, or "auto" finds no weights of PyTorch."""
    settings = selected_teacher(context)
    by_choice = context.recipe.student.initialise == "teacher"
    if without_files(settings.model) and not by_choice:
        return None
    teacher = load_teacher(settings, surroundings(context))
    if teacher.first is None and not by_choice:
        return None
    return teacher_source(torch_weights(teacher, 'student.initialise = "teacher"', "choose another start"))


def spelled_share(tokenizer: Any, tokens: Sequence[str]) -> float:
    """Return how many different spellings without an unknown piece the tokens have, per token."""
    unknown = set(Speller(tokenizer).special("[UNK]") or ())
    spellings = {tuple(ids) for ids in spell_all(tokenizer, tokens) if ids and not unknown & set(ids)}
    return round(len(spellings) / len(tokens), 4)
