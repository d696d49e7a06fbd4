"""Will it fit, how long will it take, what will it cost: a training, before a GPU is rented.

    recipe -> `setting`        what of it decides memory and time
    backbone's config -> `architecture`   every parameter's size, from a model on the meta device

    architecture + setting -> `states`, `activations` -> `memory`   bytes on one GPU, by what they are, and the
                                                                    largest row that fits
                            -> `propose`                            what would fit where it does not
    + `workload`, `gpus`    -> `roofline`, `sending`                seconds of a step, hours, dollars
    sizes x GPUs            -> `propose`                            a table of all of that

All of it is pure and runs in a second: nothing is allocated, no GPU is asked. `check_fits` is what a training asks
first; `basereward plan` shows everything. Formulas, assumptions and what was measured: ``docs/planning.md``.
"""
