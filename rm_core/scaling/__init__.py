"""How quality follows size, data and compute: the finished trials of a sweep as points."""
