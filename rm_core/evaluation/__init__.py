"""From rewards to a report that says how good a reward model is and what it looks at.

    list[ScoredComparison]    what a model gave each response, beside the labels (`rm_core.scoring`)
      -> PairTable            every ordered pair of responses as numpy columns, in one canonical order (`pairs`)
      -> EvaluationReport     accuracies with `intervals`, baselines, `curves`, `best_of_n` (`metrics`, `results`)
      -> Diagnostics          what the score may rest on besides the answers (`diagnostics`); worst `failures`
      -> PairedComparison     two models on the same Comparisons (`matching`, `paired`, `sign_test`)

    a published benchmark     its rows, counted, and its numbers by its authors' definitions (`suites`)
    a judge                   a language model behind an address that gives rewards in place of a model (`judge`)

Intervals and tests draw groups of Comparisons, all that share an image or a text-only prompt, never single ones.

Nothing here runs a model or draws a page: whoever scores (the held-out split, a benchmark, an ensemble) makes
`ScoredComparison`s, and the reports are plain dataclasses that go to JSON unchanged.

    >>> from rm_core.evaluation.metrics import evaluate
    >>> from rm_core.scoring.scored import ScoredComparison
    >>> one = ScoredComparison(id="7", source="captions", rewards=(1.5, 0.5), ranks=(0, 1),
    ...                        response_lengths=(9, 12), num_images=0, group="image:12ab")
    >>> evaluate([one]).overall.accuracy.value
    1.0
"""
