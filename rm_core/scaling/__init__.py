"""How quality follows size, data and compute: the finished trials of a sweep, analysed.

trials -> `points.TrialPoint` -> `seeds`      means over seeds with intervals, and which point is best
                              -> `series`     points that differ in one thing alone: a line
                              -> `power_law`  loss = c + a * x^-b through a line, with intervals
       -> `analysis.Analysis`
"""
