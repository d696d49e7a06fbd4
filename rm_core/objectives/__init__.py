"""Objectives: the loss of one packed row's rewards, given people's judgements of its responses.

    head output [R] or [R, 2], `Labels`
      -> float32, by length    terms.py          r / log(tokens + 1), where asked for; a response of grouped
                                                 Comparisons once for each judgement, as if these were separate
      -> indices [2, N]        matches.py        ordered pairs, or all matches where ties or soft labels count
      -> costs                 pairwise.py       Bradley-Terry, margins, soft labels; probit of Gaussian outputs;
                                                 with ties: Rao-Kupper, Davidson
                               listwise.py       Plackett-Luce, top-1
                               terms.py          sums of pairs, mean of the step, squares of rewards
      -> `Judged`              objective.py      named `Term`s: sum, unit, count
                               language.py       of a critic, the cost of its critiques beside them
                               verdict.py        of a judge, the cost of its verdicts in their place

A row returns sums and counts and divides by neither: the trainer divides by the counts of the whole optimiser step over
all ranks (`StepCounts`), so the gradient does not depend on how the step was split.

    objective = Objective(ObjectiveConfig(name="plackett_luce"))
    judged = objective(model(batch), batch.labels)
    loss = sum(term.sum / getattr(counts, term.unit) for term in judged.terms.values())

probability.py has the same models as probabilities, for those who read rewards: serving and evaluation.
"""
