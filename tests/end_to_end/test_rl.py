"""Reinforcement learning by commands: all rewards, a killed one, a server, and a reward that likes length."""

import json
from typing import Any

import child_process
import pytest
from mlflow import MlflowClient
from rl_lab import RlLab, lineage, widest_difference
from workplace import kill_tree

from data_pipeline.synthetic import write_synthetic

pytestmark = pytest.mark.drill

COLOURS = "red|green|blue|yellow|black|white"
TEXT = [{"name": "words", "shape": "ultrafeedback", "path": "ultrafeedback/ultrafeedback.jsonl"}]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> RlLab:
    """With raw data, a policy that can write, and a reward model of a few steps."""
    folder = tmp_path_factory.mktemp("lab")
    write_synthetic(str(folder / "raw"), num_comparisons=240, seed=1)
    sections: dict[str, Any] = {
        "base": "demo_rl",
        "init_model": {"shape": "nano"},
        "train": {"num_workers": 1, "max_steps": 10, "checkpoint_every": 10},
        "rl": {
            "prompts": TEXT, "warm_up": {"steps": 4}, "batch": 16, "max_steps": 4, "checkpoint_every": 2,
            "watch": {"every": 2, "max_prompts": 4}, "max_answer_tokens": 12,
        },
    }  # fmt: skip
    found = RlLab(folder, sections)
    for command in ("init-model", "preprocess", "train"):
        found.run(command)
    return found


@pytest.mark.parametrize(("kind", "zero"), [("rule", 2), ("rule", 3), ("model", None), ("pairwise", None)])
def test_each_reward_trains_a_policy_and_logs_what_it_stands_for(lab: RlLab, kind: str, zero: int | None) -> None:
    """The rule by DeepSpeed on two workers."""
    output = lab.folder / f"{kind}{zero}"
    words = (f"rl.zero={zero}", "rl.num_workers=2") if zero else ()
    printed = lab.run("rl", f"rl.reward.kind={kind}", f"rl.output={output}", *words)
    assert (output / "checkpoints" / "step-00000004" / "global_step4").is_dir() is (zero is not None)
    assert "Trained the policy of lab" in printed
    assert lineage(output)["steps"] == 4
    run_id = json.loads((output / "job_state.json").read_text())["mlflow_run_id"]
    run = MlflowClient(tracking_uri=f"sqlite:///{lab.folder}/run/mlflow.db").get_run(run_id)
    assert run.info.status == "FINISHED"
    names = {"rl/reward", "rl/gold", "rl/kl", "rl/answer_tokens", "eval/reward", "eval/gold", "warm_up/loss"}
    assert names <= run.data.metrics.keys()
    assert "nothing to do" in lab.run("rl", f"rl.reward.kind={kind}", f"rl.output={output}", *words)


def test_a_killed_one_goes_on_and_ends_with_the_weights_of_one_that_was_not_killed(lab: RlLab) -> None:
    """Two workers; hybrid rewards."""
    words = ("rl.reward.kind=hybrid", "rl.num_workers=2", "rl.export_weights=last")
    whole, killed = lab.folder / "whole", lab.folder / "killed"
    lab.run("rl", *words, f"rl.output={whole}")
    process = lab.start_until_checkpoint(killed, 2, *words)
    kill_tree(process.pid)
    process.communicate()
    lab.run("rl", *words, f"rl.output={killed}")
    assert widest_difference(killed / "export", whole / "export") < 1e-6


def test_ctrl_c_ends_it_with_a_checkpoint(lab: RlLab) -> None:
    output = lab.folder / "stopped"
    process = lab.start_until_checkpoint(output, 2, "rl.reward.kind=rule", "rl.max_steps=400", "rl.warm_up.steps=0")
    child_process.interrupt(process)
    printed, _ = process.communicate(timeout=200)
    assert process.returncode == 130, printed
    steps = sorted((output / "checkpoints").glob("step-*/COMPLETE.json"))
    assert steps and not (output / "export").exists()


def test_a_server_and_a_loaded_model_give_the_same_rewards(lab: RlLab) -> None:
    words = ("rl.reward.kind=model", "rl.sample.limit=12", "rl.sample.number=3")
    lab.run("rl", "--sample", *words, f"rl.sample.output={lab.folder}/loaded")
    server = lab.start("serve", "serve.token_variable=null", "serve.port=18431")
    try:
        assert server.stdout is not None
        for line in server.stdout:
            if "Ctrl-C ends it" in line:
                break
        else:
            pytest.fail("the server did not start")
        url = "rl.reward.url=http://127.0.0.1:18431"
        lab.run("rl", "--sample", *words, url, f"rl.sample.output={lab.folder}/served")
    finally:
        child_process.interrupt(server)
        server.communicate(timeout=120)
    loaded, served = (
        [json.loads(line) for line in (lab.folder / name / "samples.jsonl").read_text().splitlines()]
        for name in ("loaded", "served")
    )
    assert len(loaded) == len(served) == 12
    for one, other in zip(loaded, served, strict=True):
        assert [answer["text"] for answer in one["responses"]] == [answer["text"] for answer in other["responses"]]
        scores = [[answer["score"] for answer in line["responses"]] for line in (one, other)]
        assert scores[0] == pytest.approx(scores[1], abs=1e-5)


def test_a_reward_that_likes_length_is_found_out(lab: RlLab) -> None:
    """The reward model learns that the longer answer is better; gold is the right answer, which fades."""
    raw = lab.folder / "raw" / "longer"
    raw.mkdir()
    lines = []
    for line in (lab.folder / "raw" / "ultrafeedback" / "ultrafeedback.jsonl").read_text().splitlines():
        try:
            record = json.loads(line)
            prompt, said = record["instruction"], record["completions"][0]["response"]
        except (ValueError, KeyError, IndexError, TypeError):
            continue
        if isinstance(said, str) and said:
            lines.append(json.dumps({"prompt": prompt, "chosen": f"{said} {said} {said}", "rejected": said}))
    (raw / "longer.jsonl").write_text("\n".join(lines))
    biased = (
        "preprocess.sources=[{name: longer, path: longer/longer.jsonl}]",
        f"preprocess.output={lab.folder}/longer_shards",
        f"train.output={lab.folder}/longer",
        "train.max_steps=60",
        "train.checkpoint_every=60",
    )
    lab.run("preprocess", *biased)
    lab.run("train", *biased)
    output = lab.folder / "biased"
    lab.run(
        "rl", *biased, "rl.reward.kind=model", f"rl.output={output}", "rl.warm_up.steps=200", "rl.max_steps=120",
        "rl.checkpoint_every=5", "rl.watch.every=5", "rl.watch.max_length_ratio=2", "rl.max_answer_tokens=64",
        "rl.learning_rate=3e-4", "rl.batch=32",
    )  # fmt: skip
    told = lineage(output)
    assert "ended_early" in told, told
    assert told["steps"] < 120
    assert told["exported_step"] < told["steps"], "the weights of before"
