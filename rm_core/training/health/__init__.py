"""The health of a training: checks of each step and of each window of steps.

`agreement`      all ranks hold the same weights, rates and position
`window_checks`  a step whose loss or gradient is not finite changes nothing, and too many in a row end the training;
                 whether rewards left the scale they had at first, and whether a rank waits for its rows
`memory`         explains a row that did not fit: what memory held, and what to change
"""

from rm_core.training.health.agreement import check_agreement
from rm_core.training.health.memory import explain_out_of_memory
from rm_core.training.health.window_checks import DataStalls, RewardDrift, Skips

__all__ = ["DataStalls", "RewardDrift", "Skips", "check_agreement", "explain_out_of_memory"]
