"""From rewards to a report that says how good a reward model is and what it looks at.

    list[ScoredComparison]      what a model gave each response, beside the labels (`scored.py`, `scored_file.py`)
      -> PairTable              every ordered pair of responses as numpy columns, in one canonical order (`pairs.py`)
      -> EvaluationReport       accuracies with intervals, baselines, curves (`metrics.py`, `intervals.py`, `curves.py`)
      -> PairedComparison       two models on the same Comparisons (`matching.py`, `paired.py`, `paired_items.py`)
      -> report.json, .html     the numbers, and the same numbers as one self-contained page (`report.py`, `plots.py`)

Nothing here runs a model: whoever scores (the held-out split, a benchmark, an ensemble) makes `ScoredComparison`s.

    >>> from rm_core.evaluation.metrics import evaluate
    >>> from rm_core.scoring.scored import ScoredComparison
    >>> one = ScoredComparison(id="7", source="mine", rewards=(1.5, 0.5), ranks=(0, 1),
    ...                        response_lengths=(9, 12), num_images=0)
    >>> evaluate([one]).overall.accuracy.value
    1.0
"""
