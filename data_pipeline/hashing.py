"""64-bit hashing of whole arrays with integer operations only: the same on every machine and with every NumPy.

Python's own hashes differ between processes, and a cryptographic hash of a million numbers takes a call for each. Here
a number is scrambled by the finaliser of SplitMix64 (Steele, Lea and Flood 2014, "Fast Splittable Pseudorandom Number
Generators"): every input bit moves every output bit.
"""

import numpy as np
import numpy.typing as npt

__all__ = ["GOLDEN", "U64", "finalised", "mixed"]

U64 = npt.NDArray[np.uint64]

GOLDEN = np.uint64(0x9E37_79B9_7F4A_7C15)
"""2**64 over the golden ratio: the step from one state of SplitMix64 to the next."""
_FIRST = np.uint64(0xBF58_476D_1CE4_E5B9)
_SECOND = np.uint64(0x94D0_49BB_1331_11EB)


def finalised(words: U64) -> U64:
    """The finaliser alone, uint64 of the same shape; 0 stays 0. `words` itself is left as it is.

    >>> int(finalised(np.array([1], dtype=np.uint64))[0])
    6238072747940578789
    """
    words = words ^ (words >> np.uint64(30))
    words *= _FIRST
    words ^= words >> np.uint64(27)
    words *= _SECOND
    words ^= words >> np.uint64(31)
    return words


def mixed(values: U64) -> U64:
    """What SplitMix64 gives from the states `values`: the finaliser of the next state, so that 0 is mixed too.

    >>> int(mixed(np.array([0], dtype=np.uint64))[0])
    16294208416658607535
    """
    return finalised(values + GOLDEN)
