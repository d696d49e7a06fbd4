"""`basereward train`: groups of workers, one after the other, until the model is exported and logged to MLflow.

train       the command: prepare -> run -> publish
prepare     recipe, data and model checked; state: the folder belongs to one training; the MLflow run
suites      published benchmarks that it evaluates on, read once for the group
run         attempts: a loop over groups -> room: waits for free nodes -> group: the adapter to Ray Train, and the code
            of each worker; coordinator: an actor that passes messages between driver and workers
            failures: why a group ended early; progress: bar and notes in the terminal
publish     model, metrics, page -> MLflow
record      attempts and how long they took; run_page: their description on the run's page
"""
