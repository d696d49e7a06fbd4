"""HTML pages and plots. They show numbers that are computed elsewhere.

    numbers -> texts of cards and rows, by `formats`
            -> plots (Matplotlib)  -> Svg for the page, PNG for files and MLflow
            -> templates/*.html.j2 -> one page, by `environment`, where Jinja escapes everything but the Svg

data_page          prepared data                  -> data.html       (data_*, sample_views)
evaluation_report  an EvaluationReport            -> report.html, report.json
suite_report       published benchmarks           -> a section of report.html, or suites.html; suites.md
judge_view         a judge that gave rewards     -> the cover and the facts of these
paper_table        the tables of the paper, with their slips, for suites and sweeps
compare_page       two models                     -> compare.html
ensemble_report    a fitted ensemble, judged      -> ensemble.html, ensemble.png
sweep_page         a sweep's analysis             -> index.html      (sweep_*)
plots.run          a training and its evaluation  -> PNG in their MLflow runs

A page needs no other file and no network, and the same numbers give the same bytes. To add a page: a template that
extends ``base.html.j2``, and a module that calls `environment.render`.
"""
