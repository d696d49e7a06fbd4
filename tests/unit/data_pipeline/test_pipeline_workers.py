"""The orchestration asks its workers for exactly what is missing, and says what became of it."""

import json
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from data_pipeline.config import PreprocessConfig, RulesConfig, SourceConfig
from data_pipeline.encoding.tokenizer import train_tokenizer
from data_pipeline.errors import RecipeError, RunError
from data_pipeline.pipeline import Outcome, Plan, ThisProcess, plan_units, prepare, run_pipeline
from data_pipeline.transform.failures import failures
from data_pipeline.transform.planning import FileScan, InputRef
from data_pipeline.transform.units import UnitResult, WorkUnit

NUM_UNITS = 3


@pytest.fixture
def config(tmp_path: Path) -> PreprocessConfig:
    pairs = [{"prompt": f"What {i}?", "chosen": "a", "rejected": "b"} for i in range(2 * NUM_UNITS)]
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    train_tokenizer(["What is it?"], 280, str(tmp_path / "model"))
    return PreprocessConfig(
        sources=[SourceConfig(name="pairs", path="pairs.jsonl")],
        data_root=str(tmp_path),
        output=str(tmp_path / "out"),
        tokenizer=str(tmp_path / "model"),
        rows_per_unit=2,
    )


@dataclass
class Noting:
    """Workers of this process that note what they were asked, go backwards, and fail the units of `failing`."""

    failing: set[int] = field(default_factory=set)
    scanned: list[str] = field(default_factory=list)
    ran: list[int] = field(default_factory=list)
    closed: int = 0

    def scan(self, files: Sequence[InputRef], config: PreprocessConfig) -> Generator[Outcome[InputRef, FileScan]]:
        for outcome in ThisProcess().scan(files, config):
            self.scanned.append(outcome.item.path)
            yield outcome

    def run(self, plan: Plan, config: PreprocessConfig) -> Generator[Outcome[WorkUnit, UnitResult]]:
        try:
            good = [unit for unit in plan.missing if unit.index not in self.failing]
            for unit in reversed(plan.missing):
                if unit not in good:
                    yield Outcome(item=unit, failure="Traceback\nOSError: broken", attempts=3)
            for outcome in ThisProcess().run(replace(plan, missing=good[::-1]), config):
                self.ran.append(outcome.item.index)
                yield outcome
        finally:
            self.closed += 1


def test_everything_then_nothing_then_filters_only(config: PreprocessConfig) -> None:
    workers = Noting()
    first = run_pipeline(config, workers)
    assert first.plan is not None
    assert (workers.scanned, workers.ran, workers.closed) == (["pairs.jsonl"], [2, 1, 0], 1)
    assert (len(first.plan.missing), first.plan.done, first.manifest.counts.kept) == (NUM_UNITS, {}, 2 * NUM_UNITS)
    again = run_pipeline(config, workers)
    assert again.plan is None and again.manifest == first.manifest and workers.closed == 1
    other = run_pipeline(replace(config, rules=RulesConfig(min_response_chars=5)), workers)
    assert other.plan is not None and other.plan.missing == [] and len(other.plan.done) == NUM_UNITS
    assert len(workers.ran) == NUM_UNITS and other.manifest.counts.kept == 0


def test_other_workers_write_the_same_bytes(config: PreprocessConfig, tmp_path: Path) -> None:
    run_pipeline(config, Noting())
    here = replace(config, output=str(tmp_path / "here"))
    prepare(here)
    one, other = (
        {str(path.relative_to(folder)): path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}
        for folder in (config.output, here.output)
    )
    assert one == other


def test_failed_units_are_put_aside_and_only_they_are_tried_again(config: PreprocessConfig) -> None:
    with pytest.raises(RunError, match=r"1 of 3 work units failed(?s:.*)rows 2 to 3: OSError: broken"):
        run_pipeline(config, Noting(failing={1}))
    [failure] = failures(config, plan_units(config))
    assert (failure.start, failure.attempts) == (2, 3)
    workers = Noting()
    assert run_pipeline(config, workers).manifest.counts.kept == 2 * NUM_UNITS
    assert workers.ran == [1]
    assert failures(config, plan_units(config)) == []


def test_a_file_that_workers_cannot_read_is_named(config: PreprocessConfig) -> None:
    class Unable(Noting):
        def scan(self, files: Sequence[InputRef], config: PreprocessConfig) -> Generator[Outcome[InputRef, FileScan]]:
            yield Outcome(item=files[0], failure="died")

    with pytest.raises(RunError, match=r"pairs\.jsonl' to its end:\ndied"):
        run_pipeline(config, Unable())


def test_a_wrong_config_is_refused_before_any_file_is_read(config: PreprocessConfig) -> None:
    workers = Noting()
    with pytest.raises(RecipeError, match="max_tokens"):
        run_pipeline(replace(config, rules=RulesConfig(max_tokens=0)), workers)
    assert workers.scanned == []
