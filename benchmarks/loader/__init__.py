"""Shuffled Comparisons a second in the training process.

`__main__` measures `ours` and `rivals` on the same `samples`; `side` is what each of them is. `rivals`, `side` and
`samples` import nothing of this project's packages: another interpreter runs them.
"""
