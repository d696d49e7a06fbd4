"""A reward model as a function: Comparisons -> rewards, by the packed path that trained it.

model folder -> `scorer.Scorer`
  prepared rows    -> `scorer.score_rows`  -> `scored.ScoredComparison`: labels beside rewards
  lines of a file  -> `lines`              -> Comparisons, and lines with rewards in their place
  rows of a table  -> `table_rows`         -> Comparisons, as a registered model is asked about them
`scored_file`      ``scored.parquet``, which evaluation, comparison and ensembles read
"""
