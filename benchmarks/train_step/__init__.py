"""Seconds a Comparison of a training step on real records.

`__main__` measures, `sides` are the packed way and the way of K padded rows, `turns` runs each in a process of its own,
`records` are the Comparisons, `counts` and `figures` the arithmetic. `rivals` runs public trainers by `rival_trl` and
`rival_swift`, scripts for an interpreter that has them.
"""
