"""Seconds of training steps on one GPU.

`__main__` measures the `parts` (equality, recompilations, training, a larger model); `runs` times packed and padded
rows of `cases` (synthetic Comparisons) through `models`.
"""
