"""Whether a training is well: what each step and each window of steps is looked at for.

skipping   a step whose loss or gradient is not finite changes nothing; too many in a row end the training
agreement  all ranks hold the same weights, rates and position
drift      rewards leave the scale they had at first
stalls     a rank waits for its rows
memory     a row did not fit, in words
"""

from rm_core.training.health.agreement import check_agreement
from rm_core.training.health.drift import RewardDrift
from rm_core.training.health.memory import explain_out_of_memory
from rm_core.training.health.skipping import Skips
from rm_core.training.health.stalls import DataStalls

__all__ = ["DataStalls", "RewardDrift", "Skips", "check_agreement", "explain_out_of_memory"]
