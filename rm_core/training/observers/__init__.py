"""Where the time of a training goes.

clock      seconds of each phase on this rank
speed      phases, rates and stragglers over all ranks, once a window
profiling  PyTorch's profiler on chosen steps
"""

from rm_core.training.observers.clock import PhaseClock, Phases
from rm_core.training.observers.profiling import Profiler
from rm_core.training.observers.speed import Speed

__all__ = ["PhaseClock", "Phases", "Profiler", "Speed"]
