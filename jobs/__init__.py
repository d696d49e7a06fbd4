"""The command line, its verbs and recipes: the only place that wires the packages together.

What `basereward VERB RECIPE key=value` does, in order::

    argv -> cli.main -> config.load_recipe -> Recipe        a packaged or own YAML file, checked key by key
         -> VERBS[verb].run(recipe)                         one file a verb, imported only now
         -> ray_job.open_cluster(recipe.cluster)            a Ray cluster for the length of the verb
         -> tracking.Tracker                                one MLflow run, written by the driver and by world rank 0

Errors of the caller end with exit code 2 and one line, errors of a run with exit code 1.
"""
