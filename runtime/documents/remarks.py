"""What a reader left out or had to guess: counted, the first few named, said once."""

from collections.abc import Iterator, Mapping

NAMED = 3


class Remarks:
    """Counts by what happened, with the first names of each."""

    def __init__(self) -> None:
        """Begin with none."""
        self._counts: dict[str, int] = {}
        self._names: dict[str, list[str]] = {}

    def add(self, what: str, name: str) -> None:
        """Count `what` once more; `name` says where."""
        self._counts[what] = self._counts.get(what, 0) + 1
        names = self._names.setdefault(what, [])
        if len(names) < NAMED:
            names.append(name)

    def __iter__(self) -> Iterator[str]:
        """Yield a line for each: what, how often, and the first names."""
        for what, count in self._counts.items():
            names = self._names[what]
            more = ", …" if count > len(names) else ""
            yield f"{what}: {count:,}, {', '.join(names)}{more}"

    def __str__(self) -> str:
        """Return all in one line."""
        return "; ".join(self)


def by_count(counts: Mapping[str, int]) -> str:
    """Return the names of `counts`, the most frequent first: `.png 8, .pdf 3`."""
    ordered = sorted(counts, key=lambda name: (-counts[name], name))
    shown = ", ".join(f"{name} {counts[name]:,}" for name in ordered[:8])
    return f"{shown}, …" if len(ordered) > 8 else shown
