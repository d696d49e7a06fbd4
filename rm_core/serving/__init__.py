"""Rewards for whoever asks (evaluation, the command line, an RL trainer): all go through `scorer.Scorer`.

    rows of a table -> `records` -> Comparisons -> `Scorer`, one a member -> Ensemble.combine      `served_scorer`

`served` is the file that says what a registered model is made of.
"""
