"""How fast the files of a bundle are beside one another on this machine."""

import statistics
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from ...runtime.encoder import open_session
from ..quantization.encode_ids import feeds

ROUNDS = 6


def latency_ratios(files: Mapping[str, Path], ids: Sequence[Sequence[int]], reference: str) -> dict[str, float]:
    """Return the latency of every file relative to `reference`, one text at a time on one thread.

    The files take turns for each text, so that what else runs on the machine meets all of them alike; of each text's
    times the lower quartile counts, since other processes only ever add. `ids` are token ids of texts.
    """
    sessions = {name: open_session(path) for name, path in files.items()}
    totals = dict.fromkeys(files, 0.0)
    for row in ids:
        inputs = feeds(row)
        samples: dict[str, list[float]] = {name: [] for name in files}
        for turn in range(ROUNDS + 1):
            for name, session in sessions.items():
                started = time.perf_counter()
                session.run(["sentence_embedding"], inputs)
                if turn:  # the first is a warm-up
                    samples[name].append(time.perf_counter() - started)
        for name, values in samples.items():
            totals[name] += statistics.quantiles(values, n=4)[0]
    return {name: total / totals[reference] for name, total in totals.items()}
