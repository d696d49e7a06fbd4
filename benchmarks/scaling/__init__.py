"""Comparisons a second of 1 and 2 ranks, and the plan for up to 1,024.

`__main__` measures by `ranks`, processes of the trainer's own loop; `plan` simulates.
"""
