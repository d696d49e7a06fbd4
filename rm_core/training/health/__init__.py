"""Whether a training is well: what each step and each window of steps is looked at for.

`skipping`       a step whose loss or gradient is not finite changes nothing; too many in a row end the training
`agreement`      all ranks hold the same weights, rates and position
`window_checks`  rewards leave the scale they had at first; a rank waits for its rows
`memory`         a row did not fit: what was held, what to change
"""

from rm_core.training.health.agreement import check_agreement
from rm_core.training.health.memory import explain_out_of_memory
from rm_core.training.health.skipping import Skips
from rm_core.training.health.window_checks import DataStalls, RewardDrift

__all__ = ["DataStalls", "RewardDrift", "Skips", "check_agreement", "explain_out_of_memory"]
