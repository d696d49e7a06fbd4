"""Seconds of the phases by a clock that a test sets, and traces of chosen steps."""

import gzip
import json
from pathlib import Path

import pytest
import torch

from data_pipeline.errors import RecipeError
from rm_core.train_config.config import ProfileConfig
from rm_core.training.observers import PhaseClock, Profiler, speed

CPU = torch.device("cpu")


class Time:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def perf_counter(self) -> float:
        return self.now_s


def test_every_second_belongs_to_the_phase_it_was_spent_in(monkeypatch: pytest.MonkeyPatch) -> None:
    time = Time()
    monkeypatch.setattr(speed, "time", time)
    phases = PhaseClock(CPU)
    spent = [("loading", 1.0), ("forward", 2.0), ("backward", 4.0), ("loading", 0.5), ("step mean", 0.25)]
    spent += [("optimiser step", 0.125), ("waiting", 8.0), ("optimiser step", 3.0), ("checkpoint", 16.0)]
    spent += [("evaluation", 32.0)]
    for phase, seconds in [*spent, ("metrics", 0.75), ("export", 0.75)]:
        phases.enter(phase)
        time.now_s += seconds
    assert phases.take() == {
        "data": 1.5, "forward": 2.25, "backward": 4.0, "wait": 8.0, "optimiser": 3.125, "evaluation": 32.0,
        "checkpoint": 16.0, "other": 1.5,
    }  # fmt: skip
    time.now_s += 2.0
    assert phases.take() == dict.fromkeys(speed.PARTS, 0.0) | {"other": 2.0}, "a new window"


def traced(config: ProfileConfig, *, rank: int) -> dict[str, list[str]]:
    """Names of the operators in each trace of three steps, by the trace's name."""
    found: dict[str, list[str]] = {}

    def artifact(path: str, folder: str) -> None:
        assert folder == "traces"
        events = json.loads(gzip.decompress(Path(path).read_bytes()))["traceEvents"]
        found[Path(path).name] = [event["name"] for event in events if event.get("cat") == "cpu_op"]

    profiler = Profiler(config, rank, 3, artifact)
    for number, step in enumerate([torch.sin, torch.cos, torch.tan], start=1):
        with profiler.step(number):
            step(torch.ones(4))
    return found


def test_a_trace_holds_its_step_and_no_other() -> None:
    [(name, operators)] = traced(ProfileConfig(steps=[2], ranks=[0, 3]), rank=3).items()
    assert name == "step-00000002-rank-00003.json.gz"
    assert "aten::cos" in operators and not {"aten::sin", "aten::tan"} & set(operators)
    assert traced(ProfileConfig(steps=[2], ranks=[0]), rank=3) == {}


def test_a_step_past_the_end_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"train\.profile\.steps=\[4\]: the training has 3 steps"):
        traced(ProfileConfig(steps=[4]), rank=0)
