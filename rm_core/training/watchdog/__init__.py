"""Ends a training group that hangs, and says first which rank hangs where, on which Comparisons.

    training thread   -> `progress`: step, row, phase by `Watchdog.enter`; modules by hooks on the model
    exchange thread   `exchange`: this rank's `Place` -> the group's store -> every other rank, once a stall is near
    watchdog thread   `watch`: counts the seconds without an advance -> `report`: text -> ends the process

A collective has no way back: when one rank stays away, the others wait inside C++ until the group's own timeout, which
names neither rank nor place. Exchange and decision are two threads because a frozen rank 0, whose process holds the
store, would hold up a reader for ever.

    with Watchdog(model, timeout_s=1800, rank=0, world_size=8, report=log) as watchdog:
        watchdog.enter("loading", step=12, row=0)
        ...
        watchdog.enter("forward", ids=batch.labels.ids)
"""

from rm_core.training.watchdog.progress import PHASES, Phase
from rm_core.training.watchdog.watch import STALLED_EXIT_CODE, Watchdog

__all__ = ["PHASES", "STALLED_EXIT_CODE", "Phase", "Watchdog"]
