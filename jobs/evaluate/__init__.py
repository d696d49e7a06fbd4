"""Rewards of held-out Comparisons (`evaluate`), of own records (`score`), and of two models side by side (`compare`).

evaluate          the command: prepare -> score the split -> publish
prepare           model verified, data opened
publish           report, MLflow, terminal
score             JSON lines in, the same lines with rewards out
scoring_actors    what both score by: one process a GPU, or one a CPU
compare           reads what two evaluations wrote
"""
