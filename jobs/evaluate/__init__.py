"""Rewards of held-out Comparisons (`evaluate`) and of your own records (`score`), and two models compared (`compare`).

evaluate          the command: prepare -> score the split -> publish
prepare           model verified, data opened
publish           report, MLflow, terminal
score             JSON lines in, the same lines with rewards out
score_parts       finished parts of the output of `score`, until they are put together
scoring_actors    score for both commands: one process a GPU, or one a CPU
compare           reads what two evaluations wrote
"""
