"""Training on shards: a checked `TrainConfig` -> engine -> steps -> checkpoints -> exported model.

    `worker`        one process of the group: builds all of the below and runs the loop
    `data_plan`     recipe and prepared data -> the plan of all stages
    `engines`       what shards the model: build, step, save, load, gather weights
    `trainer`       the loop: plan -> `accumulation` of rows -> step -> checks -> metrics of a `window` -> checkpoint
    `evaluation`    the group scores held-out Comparisons: `best` says when, what is the best, and whether that ends it
    `audit`         whether a step changed all weights that should train and no others
    `checkpointing` the engine's shards and the loop's position, to and from `rm_core.checkpoints`
    `health`        checks of each step and of each window of steps
    `observers`     where the time goes
    `watchdog`      ends a group that hangs, and says where
    `export`        weights of all ranks -> a model folder that a fresh process has verified, with a model card

Nothing here imports Ray or MLflow: the trainer gets `Hooks` as an argument.
"""
