"""`basereward train`: one group of workers after the other, until the model is exported and in MLflow.

train       the command: prepare -> run -> publish
prepare     recipe, data and model checked; state: the folder belongs to one training; the MLflow run
run         attempts: whether there is another group -> room: where it fits -> group: the adapter to Ray Train, and each
            worker; coordinator: what driver and workers tell each other; failures: what a lost group died of
            progress: what the person at the terminal sees
publish     model, metrics, page -> MLflow
record      attempts, how long they took; run_page: what the run's page says of them
"""
