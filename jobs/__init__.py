"""The command line, its verbs and recipes: the only place that wires the packages together.

What `basereward VERB RECIPE key=value` does, in order::

    argv -> cli.main -> config.load_recipe -> Recipe        a packaged or own YAML file, checked key by key
         -> VERBS[verb].run(recipe)                         one file a verb, imported only now
         -> ray_job.open_cluster(recipe.cluster)            a Ray cluster for the length of the verb
         -> tracking.Tracker                                one MLflow run, written by the driver and by world rank 0

Which files belong to what; a verb's own file has its name::

    train       train, train_group (the door to Ray Train), train_attempts (whether there is another group), train_board
                (between driver and workers), train_failures, train_state, train_record
    MLflow      tracking (one run), metric_logger (points through outages), run_page and run_description (what a person
                reads), run_plots, node_metrics, run_store and run_artifacts (reading), model_registry
    sweep       sweep_config -> sweep_axes -> sweep_trials -> sweep_shared -> sweep_tune (the door to Ray Tune) -> one
                sweep_trial each -> sweep_point -> sweep_report; sweep_folder and sweep_state remember
    ensemble    ensemble_members -> ensemble_scores -> ensemble_parts -> ensemble_tracking -> served_model (what
                `mlflow.pyfunc` loads); promote asks the gate
    scoring     scoring_actors, for evaluate, score and ensemble
    the paper   recipes/paper, paper_tables, paper_table, paper_section
    clusters    cluster_verbs, submit, sending, following, job_commands, cluster_files, cluster_life, cluster_doctor

Errors of the caller end with exit code 2 and one line, errors of a run with exit code 1.
"""
