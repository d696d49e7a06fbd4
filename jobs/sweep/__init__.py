"""`basereward sweep`: many trainings as one study.

    config -> axes -> trials (points x seeds) -> plan (GPUs, hours, cost) -> shared (data and models made once)
      -> tune (the door to Ray Tune), search (Optuna) -> trial (one training each) -> point (its numbers)
      -> results -> report, paper_section and paper_table (the paper's table beside ours)

`folder`, `state` and `trial_files` are what a resumed sweep reads; `board` and `progress` show it meanwhile; `settings`
are Ray Tune's, set before it is imported.
"""
