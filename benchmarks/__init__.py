"""Measured claims: one folder a claim, run by `python -m benchmarks.NAME` from the project's root.

    `train_step`    seconds a Comparison of training on real records, against padded rows and public trainers
    `gpu_step`      training steps on one GPU: equality, recompilations, speed
    `gpu_planner`   the planner's bytes against those of a real step on a GPU
    `checkpoint`    seconds of saving and resuming, against DeepSpeed and Hugging Face's Trainer
    `large_model`   what eight ranks on a machine hold of a model while they load and export it
    `scaling`       1 and 2 ranks measured, up to 1,024 simulated
    `plan`          planning 2.8 and 100 million Comparisons; how even the steps are over the ranks
    `loader`        shuffled Comparisons a second from local disk, against two public loaders
    `preprocess`    preprocessing against `datasets.map` and against bare kernels
    `tracking`      what logging a step costs the training thread, and points a second into an MLflow server
    `submissions`   submissions and status calls that one head answers

`common` holds what they share. What is compared, how, and the numbers: ``benchmarks/README.md``; measured figures with
command and hardware: ``benchmarks/results/``.
"""
