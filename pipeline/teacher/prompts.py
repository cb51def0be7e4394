"""Which of a teacher's prompts, texts put in front of what is encoded, queries and documents get."""

from collections.abc import Mapping

from ..settings import TeacherSettings
from .protocol import Role

_PLURALS: dict[Role, str] = {"query": "queries", "document": "documents"}
# Names that makers give them, best first.
_NAMES: dict[Role, tuple[str, ...]] = {"query": ("query",), "document": ("document", "passage", "corpus")}


def chosen_prompts(settings: TeacherSettings, own: Mapping[str, str]) -> tuple[dict[Role, str], str]:
    """Return the prompt of each role, and in words where each is from and which were not used.

    A role's prompt is what the recipe says, a text or the name of one of the teacher's `own`. Without a word there it
    is the teacher's own of the usual names: those of `encode_query` and `encode_document` in sentence-transformers,
    but for an empty one, which that library adds itself and would prefer to one named `passage`.
    """
    asked: dict[Role, str] = {"query": settings.query_prompt, "document": settings.document_prompt}
    chosen: dict[Role, str] = {}
    words = []
    for role, plural in _PLURALS.items():
        name = asked[role] or next((name for name in _NAMES[role] if own.get(name)), "")
        chosen[role] = own.get(name, name)
        origin = f"the teacher's own {name!r}" if name in own else f"teacher.{role}_prompt"
        words.append(f"{plural} {chosen[role]!r} ({origin})" if chosen[role] else f"{plural} none")
    unused = sorted(name for name, text in own.items() if text and text not in chosen.values())
    if unused:
        words.append(f"not used: {', '.join(unused)}; name one as teacher.query_prompt or document_prompt to use it")
    return chosen, "; ".join(words)
