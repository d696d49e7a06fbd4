"""Seconds and memory of planning a training, and how full and how even its rows are.

`__main__` measures over `cases` (synthetic rows); `balance` is how long ranks wait for each other.
"""
