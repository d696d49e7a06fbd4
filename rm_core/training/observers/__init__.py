"""Where the time of a training goes.

speed      seconds of each phase on this rank; phases, rates and stragglers over all ranks, once a window
profiling  PyTorch's profiler on chosen steps
"""

from rm_core.training.observers.profiling import Profiler
from rm_core.training.observers.speed import PhaseClock, Phases, Speed

__all__ = ["PhaseClock", "Phases", "Profiler", "Speed"]
