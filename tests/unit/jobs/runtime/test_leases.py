"""Every command that writes holds what it writes; the second of two ends with exit code 2 before anything starts."""

import json
from pathlib import Path

import pytest

from data_pipeline.config import PreprocessConfig, SourceConfig
from data_pipeline.encoding.tokenizer import train_tokenizer
from data_pipeline.errors import UserError
from data_pipeline.pipeline import prepare
from data_pipeline.storage import held
from jobs.cli.main import main
from jobs.train.coordinator import Attempt
from jobs.train.record import TrainingRecord

COMMANDS = {
    "init-model": "model", "train": "train", "evaluate": "evaluate", "ensemble": "ensemble", "promote": "ensemble",
    "sweep": "sweep",
}  # fmt: skip


@pytest.fixture
def recipe(tmp_path: Path) -> str:
    path = tmp_path / "r.yaml"
    path.write_text(f"run_dir: {tmp_path}/run\n")
    return str(path)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_second_command_is_refused(
    command: str, recipe: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with held(f"{tmp_path}/run/{COMMANDS[command]}", "train"):
        assert main([command, recipe]) == 2
        assert "is in use by `basereward train` on " in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "run").iterdir()] == [COMMANDS[command]]


def test_two_scorings_of_one_file_are_refused(recipe: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with held(f"{tmp_path}/scores.jsonl", "score", file=True):
        assert main(["score", recipe, f"score.output={tmp_path}/scores.jsonl"]) == 2
        assert "is in use by `basereward score`" in capsys.readouterr().err


def test_the_plan_of_a_sweep_disturbs_nobody(recipe: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with held(f"{tmp_path}/run/sweep", "sweep"):
        main(["sweep", recipe, "--dry-run"])
        assert "in use" not in capsys.readouterr().err


def test_a_second_preprocess_is_refused_and_finished_data_need_no_lease(tmp_path: Path) -> None:
    rows = [{"prompt": f"Say {i}", "chosen": "Yes.", "rejected": "No."} for i in range(3)]
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    train_tokenizer(["Say 1. Yes. No."], 300, str(tmp_path / "tokens"))
    config = PreprocessConfig(
        sources=[SourceConfig(name="pairs", path="pairs.jsonl")],
        data_root=str(tmp_path), output=f"{tmp_path}/shards", tokenizer=f"{tmp_path}/tokens",
    )  # fmt: skip
    with held(config.output, "preprocess"), pytest.raises(UserError, match="in use by `basereward preprocess`"):
        prepare(config)
    made = prepare(config)
    assert not list(Path(config.output).glob(".lease*"))
    with held(config.output, "preprocess"):
        assert prepare(config).address == made.address


def test_attempts_that_somebody_else_wrote_are_kept(tmp_path: Path) -> None:
    """As after a driver that was taken for dead."""
    ours, other = TrainingRecord(str(tmp_path)), TrainingRecord(str(tmp_path))
    for record, began_s in ((other, 1.0), (ours, 2.0), (other, 1.0)):
        with record.updated(lambda began_s=began_s: [Attempt(began_s=began_s, ended="finished")]):  # type: ignore[misc]
            pass
    written = json.loads((tmp_path / "attempts.json").read_text())
    assert sorted(one["began_s"] for one in written) == [1.0, 2.0]
