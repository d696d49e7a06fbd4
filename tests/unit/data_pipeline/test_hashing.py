"""SplitMix64's finaliser against the generator's published first numbers."""

import numpy as np

from data_pipeline.hashing import GOLDEN, finalised, mixed

FROM_SEED_0 = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]
"""The generator's first numbers from seed 0, as the reference code in C prints them."""


def test_the_generator_from_seed_0() -> None:
    states = np.arange(3, dtype=np.uint64) * GOLDEN
    assert mixed(states).tolist() == FROM_SEED_0
    assert finalised(states + GOLDEN).tolist() == FROM_SEED_0


def test_what_is_given_stays_as_it_is() -> None:
    words = np.arange(6, dtype=np.uint64).reshape(2, 3)
    mixed(words)
    assert finalised(words).shape == (2, 3)
    assert words.ravel().tolist() == list(range(6))
