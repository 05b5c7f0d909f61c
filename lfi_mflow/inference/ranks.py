"""Order statistics of numbers that stay in a file, read block by block, several times.

Both functions are exact and their memory does not grow with the number of values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

__all__ = ["Blocks", "rejection_threshold", "streamed_median"]

Blocks = Callable[[], Iterable[NDArray[np.floating]]]
"""A function that starts reading anew: it yields the values in blocks."""

_DIGIT_BITS = 16


def streamed_median(blocks: Blocks) -> float:
    """Median of non-negative numbers, the lower of the two middle ones.

    The bits of non-negative floating-point numbers rise with their values, so the
    median can be found digit by digit: each reading counts how often the values
    that agree so far have each of the 65,536 possible next 16 bits.

    Arguments:
        blocks: The values, of one floating-point type; at least one.
    """
    bits = next(iter(blocks())).dtype.itemsize * 8
    integers, floats = np.dtype(f"u{bits // 8}"), np.dtype(f"f{bits // 8}")
    prefix, rank = 0, -1
    for shift in range(bits - _DIGIT_BITS, -1, -_DIGIT_BITS):
        counts = np.zeros(2**_DIGIT_BITS, dtype=np.int64)
        for values in blocks():
            high = np.ascontiguousarray(values).view(integers) >> integers.type(shift)
            same = high[high >> integers.type(_DIGIT_BITS) == prefix]
            digits = same & integers.type(2**_DIGIT_BITS - 1)
            counts += np.bincount(digits.astype(np.intp), minlength=len(counts))
        if rank < 0:
            rank = int(counts.sum() - 1) // 2
        below = np.cumsum(counts)
        digit = int(np.searchsorted(below, rank, side="right"))
        rank -= int(below[digit] - counts[digit])
        prefix = prefix << _DIGIT_BITS | digit
    return float(np.array(prefix, dtype=integers).view(floats))


def rejection_threshold(blocks: Blocks, level: float) -> float:
    """Largest p-value that the Benjamini-Hochberg procedure rejects.

    Of N p-values those are rejected that are at most ``level * k / N``, with the
    largest k for which there are k of them. From above: k values are at most the
    threshold of N, fewer at most that of k, and so on until the number stays.

    Arguments:
        blocks: p-values; at least one.
        level: Expected share of false rejections.

    Returns:
        The threshold; 0 if nothing is rejected.
    """
    total = rejected = sum(len(values) for values in blocks())
    while rejected:
        threshold = level * rejected / total
        count = sum(int(np.count_nonzero(values <= threshold)) for values in blocks())
        if count == rejected:
            return threshold
        rejected = count
    return 0.0
