"""Items a second of scoring real Comparisons: packed rows against padded ones.

`__main__` measures; `sides` is what each side does with the same Comparisons.
"""
