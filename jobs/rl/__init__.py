"""`basereward rl`: reinforcement learning of a policy as a Ray job, or answers of a policy with their rewards.

prepare   check the recipe -> read the prompts -> claim the output folder -> one MLflow run
rank      what each worker runs: `rm_core.rl.worker.train_rank`, its metrics sent to MLflow and the driver
rl        groups of workers (as of a training) until ``export`` is there -> `publish`
publish   curves, page and the finished policy -> MLflow
sampling  with ``--sample``: answers and rewards by parts, which a killed run goes on from
"""
