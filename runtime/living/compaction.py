"""Which segments of an index are written anew when it changes.

A segment is folded into the new one when more than a quarter of it is deleted, or when the new one would have half of
its size. So at most a quarter of what is stored is dead, each segment is less than half of any that is older (there are
at most 20 for a million passages), and a passage is copied a few times in its life; it is never encoded again.
"""

from collections.abc import Sequence

MOST_DELETED = 0.25  # of a segment


def segments_to_fold(stored: Sequence[int], live: Sequence[int], added: int) -> list[int]:
    """Return the numbers of the segments to fold into a new one of `added` passages, ascending.

    `stored` and `live` are the passages of each segment, with and without those that the change deletes.
    """
    folded = {number for number, size in enumerate(stored) if size - live[number] > MOST_DELETED * size}
    size = added + sum(live[number] for number in folded)
    for number in sorted(range(len(stored)), key=lambda number: live[number]):
        if number not in folded and size and live[number] <= 2 * size:
            folded.add(number)
            size += live[number]
    return sorted(folded)
