"""Training on ZeRO: configuration -> engine -> steps -> checkpoints -> exported model.

    `config`        what a recipe says; `weights_config` of groups and stages, `check_config` refuses what cannot be
    `planning`      recipe and data -> the plan of all stages
    `engine`        the one door to DeepSpeed: build, step, save, load, gather weights
    `checkpointing` the engine's shards (`sharded_state`) and the loop's position, to and from `rm_core.checkpoints`
    `schedule`, `parameter_groups`   the learning rate of a step and of a group of weights (pure)
    `trainer`       the loop: plan -> `accumulation` of rows -> step -> `checks`, `audit` -> metrics -> checkpoint
    `watchdog`      ends a group that hangs, and says where
    `export`        weights of all ranks -> a folder that a fresh process has verified
    `worker`        one process of the group: builds all of the above and runs the loop

Ray and MLflow are not known here; `Hooks` brings them in.
"""
