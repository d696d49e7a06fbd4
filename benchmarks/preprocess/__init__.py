"""Seconds of preprocessing records that have images.

`__main__` measures the `sides` (ours, `datasets.map`, bare kernels) over the same `records`.
"""
