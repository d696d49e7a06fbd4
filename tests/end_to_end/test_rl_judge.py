"""A judge that reasons learns on from its verdicts by commands, and a killed one ends as one that was not killed.

Texts are sampled so freely that many of them are not of the judge's form: a reward that it can gain within some dozen
steps. Some questions have a picture and some have none, so that at times one of the two workers sees none.
"""

import json
import re
from pathlib import Path

import pytest
from judge_server import JudgeServer
from mlflow import MlflowClient
from rl_lab import RlLab, lineage, widest_difference
from workplace import kill_tree

from data_pipeline.synthetic import write_synthetic
from rm_core.model_folder.paradigm import reasons
from rm_core.rl.consistency import counted

pytestmark = [pytest.mark.drill(minutes=10), pytest.mark.timeout(1500)]

ASKED = re.compile(r"\[Reasoning\]\n(.*?)\n\[End of the reasoning\].*Answer ([12]) is better", re.DOTALL)


def agrees_with_the_even(why: str, verdict: str) -> str:
    return "yes" if len(why) % 2 == 0 else "<answer>no</answer>"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> RlLab:
    """With a judge that has learnt its form, and little more."""
    folder = tmp_path_factory.mktemp("judge")
    write_synthetic(str(folder / "raw"), num_comparisons=240, seed=1, wrong_reasonings=0.1)
    sections = {
        "base": "demo_rl_judge",
        "init_model": {"shape": "nano"},
        "train": {
            "num_workers": 1, "zero": {"stage": 0}, "max_steps": 250, "checkpoint_every": 250, "global_batch": 8,
            "optimizer": {"learning_rate": 3e-3},
        },
        "rl": {
            "policy": str(folder / "run" / "train" / "export"), "export_weights": "last", "num_workers": 2,
            "batch": 64, "max_steps": 40, "checkpoint_every": 10, "watch": {"every": 20, "max_prompts": 8},
            "temperature": 1.4, "learning_rate": 2e-3,
        },
    }  # fmt: skip
    found = RlLab(folder, sections)
    for command in ("init-model", "preprocess", "train"):
        found.run(command)
    return found


@pytest.fixture(scope="module")
def whole(lab: RlLab) -> Path:
    """Of one that nobody disturbed."""
    output = lab.folder / "whole"
    lab.run("rl", f"rl.output={output}")
    return output


def test_the_reward_rises_and_what_comes_out_is_a_judge_again(lab: RlLab, whole: Path) -> None:
    run_id = json.loads((whole / "job_state.json").read_text())["mlflow_run_id"]
    client = MlflowClient(tracking_uri=f"sqlite:///{lab.folder}/run/mlflow.db")
    points = sorted(client.get_metric_history(run_id, "rl/reward"), key=lambda one: one.step)
    rewards = [one.value for one in points]
    assert len(rewards) == 40
    assert sum(rewards[-10:]) / 10 > sum(rewards[:10]) / 10 + 0.2, rewards
    assert reasons(str(whole / "export"))


def test_a_killed_one_ends_with_the_weights_of_one_that_was_not_killed(lab: RlLab, whole: Path) -> None:
    killed = lab.folder / "killed"
    process = lab.start_until_checkpoint(killed, 10)
    kill_tree(process.pid)
    process.communicate()
    lab.run("rl", f"rl.output={killed}")
    assert widest_difference(killed / "export", whole / "export") < 1e-6
    assert lineage(killed)["exported_step"] == lineage(whole)["exported_step"] == 40


def test_another_model_is_asked_about_each_reasoning_once_over_a_kill(
    lab: RlLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of what was under way when it was killed, at most one question is asked again."""
    monkeypatch.setenv("JUDGE_KEY", "sk-a-secret-of-a-judge")
    output = lab.folder / "asked"
    with JudgeServer(agrees_with_the_even, asked=ASKED) as server:
        words = (
            f"rl.reward.consistency={{url: {server.url}, model: m, key_variable: JUDGE_KEY, concurrency: 1}}",
            "rl.num_workers=1", "rl.batch=32", "rl.temperature=1", "rl.max_steps=8", "rl.checkpoint_every=2",
            "rl.watch.every=4", "rl.watch.max_prompts=4",
        )  # fmt: skip
        process = lab.start_until_checkpoint(output, 2, *words)
        kill_tree(process.pid)
        process.communicate()
        before = len(server.asked)
        printed = lab.run("rl", *words, f"rl.output={output}")
    assert 0 < before < len(server.asked)
    assert len(server.asked) - len(set(server.asked)) <= 1
    assert server.authorizations == {"Bearer sk-a-secret-of-a-judge"}
    found = counted(str(output / "consistency"))
    assert found["texts"] == found["yes"] + found["no"] == len(set(server.asked)) and found["yes"] and found["no"]
    assert f"{found['texts']:,}: {found['yes']:,} consistent" in printed
    files = (file.read_bytes() for file in lab.folder.rglob("*") if file.is_file())
    assert not any(b"sk-a-secret" in data for data in files)
