"""Training on ZeRO: configuration -> engine -> steps -> checkpoints -> exported model.

    `config`      what a recipe says
    `engine`      the one door to DeepSpeed: build, step, save, load, gather weights
    `checkpoint`  what DeepSpeed may read back (data only, never code)
    `schedule`    the learning rate of a step (pure)
    `trainer`     the loop: plan -> packed rows -> loss -> step -> metrics -> checkpoint
    `worker`      one process of the group: builds all of the above and runs the loop

Ray, MLflow and the file system of checkpoints are not known here; `Hooks` brings them in.
"""
