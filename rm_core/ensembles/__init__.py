"""Several reward models as one.

    rewards of held-out Comparisons, a member each
      -> ScoreTable    the same responses in the same order for all members, labels compared (`table`)
      -> Ensemble      each member's scale and weight, the rule, a temperature: plain numbers (`fit`, `ensemble`)
      -> Combined      one reward a response, and how far the members are apart (`ensemble.combine`)
      -> Calibration   whether a margin is a probability; accuracy without the doubtful pairs (`fit`)
      -> Judgement     all of it on other Comparisons, beside members and other rules (`judgement`)
      -> SuiteStanding published benchmarks scored by all members, put together (`suites`)
      -> Decision      whether it may replace the champion (`gate`)

`averaging` makes one model of members of one shape instead; `config` is what a recipe may say.

Members may have different backbones and sizes; text-only members score only Comparisons without images.
Rewards of different models have different scales, so each is standardised by its held-out rewards first.

    >>> import numpy as np
    >>> from rm_core.ensembles.ensemble import combine
    >>> two = np.array([[1.0, -1.0], [3.0, np.nan]])    # the second member reads no second response
    >>> combine(two, np.array([0.5, 0.5]), "mean").rewards.tolist()
    [2.0, -1.0]
"""
