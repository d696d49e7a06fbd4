"""The command line, its commands and recipes: the only place that wires the packages together.

What `basereward COMMAND RECIPE key=value` does, in order::

    argv -> cli.main -> cli.commands.COMMANDS[name]              the one table of commands
         -> recipe.load.load_recipe -> Recipe                    a packaged or own YAML file, checked key by key
         -> the command's room: prepare -> run -> publish        imported only now
              runtime.ray_session.open_cluster(recipe.cluster)   a Ray cluster for the length of the command
              tracking.tracker.Tracker                           one MLflow run, of the driver and world rank 0

Rooms import only from rooms below them; import-linter checks the order::

    cli                          the command line
    demo                         demo: init-model to score, on synthetic data
    sweep                        sweep: many trainings as one study
    ensemble                     ensemble, promote: many models as one
    evaluate                     evaluate, score, compare
    train                        train
    plan                         plan
    preprocess                   preprocess, data show|diff|verify
    init_model                   init-model
    cluster, submit              cluster render|up|status|down|doctor; submit, jobs
    serve                        serve
    registry                     models list|register, and what `mlflow.pyfunc` loads
    pages                        HTML pages and charts of all commands
    tracking                     runs, ui, and what all commands write to MLflow
    runtime                      Ray session, terminal, SIGTERM, watcher thread
    recipe                       the settings of a recipe; the packaged recipes

Errors of the caller end with exit code 2 and one line, errors of a run with exit code 1.
"""
