"""`basereward ensemble` and `basereward promote`: several models as one, and the gate before it becomes the champion.

ensemble    the command: prepare -> run -> publish
prepare     settings checked, data opened; members: models found, pinned, with their lineage
run         parts: which Comparisons to fit and to judge on -> scores: each member's rewards of them
            -> fitted, judged; suites: measured on published benchmarks too -> written as a model
publish     report, MLflow run, registered version with alias candidate
promote     candidate against champion, on the same Comparisons
"""
