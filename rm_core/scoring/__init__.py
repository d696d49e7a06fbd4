"""A reward model as a function: Comparisons -> rewards, by the packed path that trained it.

scorer.Scorer -> predict.score_rows (prepared data) | table_rows (rows of a table) -> scored.ScoredComparison
-> scored_file (``scored.parquet``), which evaluation, comparison and ensembles read
"""
