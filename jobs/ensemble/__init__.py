"""`basereward ensemble`: several models as one.

ensemble (the verb) -> members (models and their lineage) -> scores (of held-out Comparisons)
  -> parts (fitted on one half, judged on the other) -> tracking (one run, one registered version)
"""
