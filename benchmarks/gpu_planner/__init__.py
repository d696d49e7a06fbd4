"""Bytes on one GPU: planned, and taken by a real step.

`__main__` runs each of `cases` by `run` in a process of its own.
"""
