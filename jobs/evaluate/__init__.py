"""Rewards of held-out Comparisons (`evaluate`) and of your own records (`score`), and two models compared (`compare`).

evaluate          the command: prepare -> score the split, its probes and the suites -> publish
prepare           model verified, data opened
probes            the split again with every picture, answer or prompt changed
writing           a split scored by a model that writes first, whose texts are kept
judge             a language model behind an address gives the rewards of a split and of suites
judging           asks it about each item once, many at a time, and keeps each answer
publish           report, MLflow, terminal
suites            published benchmarks: rewards of all their rows, by a model or given, and what they are worth
publish_suites    suites.json, suites.md, the page, MLflow, terminal
score             JSON lines in, the same lines with rewards out
score_parts       finished parts of the output of `score`, until they are put together
ready_pool        actors that get work once they run, on a cluster that may grow
scoring_actors    score for both commands and the suites: one process a GPU, or one a CPU
compare           reads what two evaluations wrote
"""
