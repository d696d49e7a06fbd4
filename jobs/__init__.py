"""The command line, its verbs and recipes: the only place that wires the packages together.

What `basereward VERB RECIPE key=value` does, in order::

    argv -> cli.main -> recipe_file.load_recipe -> Recipe   a packaged or own YAML file, checked key by key
         -> VERBS[verb].run(recipe)                         one file a verb, imported only now
         -> ray_job.open_cluster(recipe.cluster)            a Ray cluster for the length of the verb
         -> tracking.tracker.Tracker                        one MLflow run, written by the driver and world rank 0

Verbs that belong together have a folder, whose docstring says what is in it and in which order it runs::

    preparation     preprocess, data show|diff|verify
    training        train
    evaluation      evaluate, score, compare
    sweeps          sweep, its report and the paper's studies
    models          init-model, models, promote, and what `mlflow.pyfunc` loads
    ensembles       ensemble
    tracking        MLflow: runs, ui, and what all others write there
    clusters        cluster render|up|status|down|doctor
    submission      submit, jobs

Beside them: `demo` and `plan`; the command line (`cli`, `verbs`, `actions`, `parser`); what a recipe says (`config`,
`recipe_file`, `recipes/`, `paths`); the cluster (`ray_job`); what a person sees, and ends (`terminal`, `termination`).

Errors of the caller end with exit code 2 and one line, errors of a run with exit code 1.
"""
