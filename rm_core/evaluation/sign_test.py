"""The exact test behind a p value: which of the ways to turn differences round are as far from 0?"""

import numpy as np
import numpy.typing as npt
from scipy.signal import fftconvolve
from scipy.stats import binom

__all__ = ["sign_flip_p_value"]


def sign_flip_p_value(differences: npt.NDArray[np.int64]) -> float:
    """Two-sided exact test of `differences` [G], whole numbers, one a group of Comparisons.

    If both models were equally good, each group could as well have come out the other way round: the value is the share
    of the 2^n ways to give signs to the n groups with a difference whose sum is at least as far from 0. Where every
    group has one pair this is McNemar's exact test. 6 against 0 give 2/64 = 0.03125.

    Source: R. A. Fisher, The Design of Experiments (1935), section 21; Q. McNemar, Psychometrika 12 (1947).
    """
    sizes, counts = np.unique(np.abs(differences[differences != 0]), return_counts=True)
    if not len(sizes):
        return 1.0
    chances = np.ones(1)  # of each sum from -reach to reach in steps of 1
    for size, count in zip(sizes, counts, strict=True):
        steps = np.zeros(2 * size * count + 1)
        steps[:: 2 * size] = binom.pmf(np.arange(count + 1), count, 0.5)
        chances = fftconvolve(chances, steps) if len(chances) > 1 else steps
    reach = len(chances) // 2
    far = np.abs(np.arange(-reach, reach + 1)) >= abs(int(differences.sum()))
    return float(min(1.0, max(0.0, chances[far].sum())))
