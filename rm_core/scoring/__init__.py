"""A reward model as a function: Comparisons -> rewards, by the packed path that trained it.

model folder -> `choose.scorer_of` -> `scorer.Scorer`, or where a model writes first `written.WritingScorer`: `critic`,
                                      `judge`; of a judge and many answers also `tournament`
  prepared rows    -> `scorer.score_rows`  -> `scored.ScoredComparison`: labels beside rewards
  lines of a file  -> `lines`              -> Comparisons, and lines with rewards in their place
  rows of a table  -> `table_rows`         -> Comparisons, as a registered model is asked about them
`scored_file`      ``scored.parquet``, which evaluation, comparison and ensembles read
"""
