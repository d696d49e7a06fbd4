"""Three models as one: registered, loaded in a fresh process by mlflow.pyfunc, promoted through the gate."""

import io
import json
import os
import re
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from mlflow import MlflowClient
from served_toys import log_training
from suite_toys import write_suite
from workplace import ROOT, Workplace

from data_pipeline.encoding.encoder import Encoder
from data_pipeline.encoding.tokenizer import load_tokenizer
from data_pipeline.media import load_image
from jobs.cli.main import main
from jobs.registry.pyfunc_model import member_folders, read_served
from jobs.registry.registry import ModelRegistry
from rm_core.ensembles.ensemble import Ensemble
from rm_core.evaluation.metrics import evaluate
from rm_core.model_folder.folder import load_reward_model
from rm_core.packing.plan import PackBudget
from rm_core.scoring.scored_file import read_scored
from rm_core.scoring.scorer import Scorer
from rm_core.scoring.table_rows import comparison_of

NAME = "three"
pytestmark = pytest.mark.drill


class Place:
    """The shared workplace with trained members and a recipe that puts them together."""

    def __init__(self, workplace: Workplace) -> None:
        self.workplace = workplace
        self.folder = workplace.folder / "ensembles"
        self.store = self.folder / "mlflow.db"
        self.uri = f"sqlite:///{self.store}"
        self.folder.mkdir()
        model, shards = workplace.folder / "model", workplace.folder / "shards"
        self.run_ids = {
            name: log_training(self.store, self.folder / name, shape, seed, model, shards)
            for seed, (name, shape) in enumerate(
                {"tiny": "tiny", "qwen2-vl-tiny": "qwen2-vl-tiny", "qwen3-tiny": "qwen3-tiny", "again": "tiny"}.items()
            )
        }
        self.recipe = self.write("three", [
            {"name": "large", "model": "models:/large/1"},
            {"name": "other", "model": f"runs:/{self.run_ids['qwen2-vl-tiny']}"},
            {"name": "words", "model": str(self.folder / "qwen3-tiny/export"), "text_only": True},
        ])  # fmt: skip

    def write(self, name: str, members: list[dict[str, Any]], **settings: object) -> Path:
        recipe: dict[str, Any] = {
            "base": str(self.workplace.recipe),
            "name": name,
            "tracking": {"uri": self.uri},
            "ensemble": {
                "members": members, "register_as": NAME, "split": "train", "output": str(self.folder / name),
                "sample": 30, "gate": {"min_comparisons": 10, "min_group_comparisons": 5},
            },
        }  # fmt: skip
        recipe["ensemble"] |= settings
        path = self.folder / f"{name}.yaml"
        path.write_text(yaml.safe_dump(recipe), encoding="utf8")
        return path

    def run(self, command: str, *words: str, code: int = 0) -> str:
        """In a process of its own."""
        done = subprocess.run(
            [sys.executable, "-m", "jobs.cli.main", *command.split(), *words], cwd=self.workplace.folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=580,
        )  # fmt: skip
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def run_here(self, command: str, *words: str, code: int = 0) -> str:
        """What needs no Ray, in this process."""
        told = io.StringIO()
        with redirect_stdout(told), redirect_stderr(told):
            assert main([*command.split(), *words]) == code, told.getvalue()
        return told.getvalue()


@pytest.fixture(scope="module")
def place(workplace: Workplace) -> Place:
    made = Place(workplace)
    made.run_here("models register", str(made.folder / "tiny/export"), "large", f"tracking.uri={made.uri}")
    made.run("ensemble", str(made.recipe))
    return made


def table_of(workplace: Workplace) -> pd.DataFrame:
    """Rows of text and of images, by path and by bytes."""
    raw = workplace.folder / "raw"
    lines = (raw / "captions/captions.jsonl").read_text().splitlines()[:3]  # bad ones are planted further on
    good = [json.loads(line) for line in lines]
    rows: list[dict[str, Any]] = [
        {"prompt": line["prompt"], "responses": [one["text"] for one in line["responses"]],
         "images": [f"captions/{line['image']}"]}
        for line in good
    ]  # fmt: skip
    rows[1]["images"] = str(raw / rows[1]["images"][0])
    rows[2]["images"] = [(raw / rows[2]["images"][0]).read_bytes()]
    chat = json.dumps([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Name a bird."}])
    rows += [
        {"prompt": "Say [1]", "responses": ["one", "two"], "images": None},
        {"prompt": chat, "responses": ["A wren.", "A trout.", "It is a wren, I think."], "images": []},
        {"prompt": "[not a chat", "responses": ["alone"], "images": None},
    ]
    return pd.DataFrame(rows, index=[f"row-{place}" for place in range(len(rows))])


def direct(place: Place, table: pd.DataFrame) -> list[np.ndarray]:
    """Scorer and Ensemble.combine, a row and a member at a time."""
    registry = ModelRegistry(place.uri)
    folder = registry.local_folder(registry.resolve(f"models:/{NAME}@candidate"))
    served = read_served(folder)
    folders = member_folders(served, folder, registry)
    scorers = {name: Scorer(one, PackBudget(tokens=8192, patches=32768)) for name, one in folders.items()}
    assert isinstance(served.ensemble, Ensemble)
    found = []
    root = str(place.workplace.folder / "raw")
    for number, row in enumerate(table.to_dict("records")):
        comparison = comparison_of(row, number, root)
        rewards = {}
        for member in served.members:
            encoder = Encoder(load_tokenizer(folders[member.name]), member.reading.encode)
            images = [load_image(ref, root, member.reading.media) for ref in comparison.media]
            if member.text_only and images:
                rewards[member.name] = np.full(comparison.num_responses, np.nan)
            else:
                rewards[member.name] = np.array(scorers[member.name].score([encoder.encode(comparison, images)])[0])
        found.append(served.ensemble.combine(rewards).rewards)
    return found


LOAD = """
import sys
import mlflow, pandas as pd
uri, model, root, table, output = sys.argv[1:]
mlflow.set_tracking_uri(uri)
loaded = mlflow.pyfunc.load_model(model, model_config={"media_root": root})
rows = pd.read_pickle(table)
whole = loaded.predict(rows)
again = pd.concat([loaded.predict(rows.iloc[[place]]) for place in reversed(range(len(rows)))])
pd.to_pickle((whole, again), output)
"""


def load_elsewhere(place: Place, model: str, table: pd.DataFrame, output: Path) -> subprocess.CompletedProcess[str]:
    """Load and predict in a process of its own, in another folder."""
    table.to_pickle(output.with_suffix(".in"))
    command = [sys.executable, "-c", LOAD, place.uri, model, str(place.workplace.folder / "raw"),
               str(output.with_suffix(".in")), str(output)]  # fmt: skip
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=output.parent, env=env, capture_output=True, text=True, timeout=580)


def test_a_fresh_process_scores_as_the_members_do(place: Place, tmp_path: Path) -> None:
    table = table_of(place.workplace)
    done = load_elsewhere(place, f"models:/{NAME}@candidate", table, tmp_path / "scores")
    assert done.returncode == 0, done.stderr
    whole, again = pd.read_pickle(tmp_path / "scores")
    expected = direct(place, table)
    assert list(whole.index) == list(table.index)
    for place_, rewards in enumerate(expected):
        assert whole["rewards"].iloc[place_] == pytest.approx(rewards.tolist(), abs=1e-5)
        assert again.loc[table.index[place_], "rewards"] == pytest.approx(rewards.tolist(), abs=1e-5)
    spread = whole["spread"]
    assert all(len(one) == len(other) for one, other in zip(spread, whole["rewards"], strict=True))
    assert np.isnan(whole["probability"]).tolist() == [len(one) != 2 for one in table["responses"]]
    assert 0 < whole.loc["row-3", "probability"] < 1


def test_the_run_and_the_version_say_what_the_model_is(place: Place) -> None:
    client = MlflowClient(place.uri)
    version = client.get_model_version_by_alias(NAME, "candidate")
    lineage = json.loads(version.tags["member.large"])
    assert lineage["model"] == "models:/large/1" and lineage["mlflow_run_id"] == place.run_ids["tiny"]
    assert json.loads(version.tags["member.other"])["mlflow_run_id"] == place.run_ids["qwen2-vl-tiny"]
    run = client.get_run(version.run_id)
    assert run.info.status == "FINISHED"
    files = {entry.path for entry in client.list_artifacts(version.run_id, "ensemble")}
    assert files == {f"ensemble/{name}" for name in ("ensemble.html", "ensemble.png", "ensemble_report.json")}
    report = json.loads((place.folder / "three/ensemble_report.json").read_text())
    judged = read_scored(str(place.folder / "three/model/judged.parquet"))
    again = evaluate(judged).overall.accuracy
    assert (
        run.data.metrics["eval/accuracy"] == again.value == report["ensemble"]["report"]["overall"]["accuracy"]["value"]
    )
    assert {"eval/by_member/words", "eval/by_source/captions"} <= run.data.metrics.keys()
    [output] = run.outputs.model_outputs
    files = {entry.path for entry in client.list_logged_model_artifacts(output.model_id)}
    assert {"MLmodel", "ensemble.json", "judged.parquet", "input_example.json"} <= files
    assert not [name for name in files if name.endswith((".pkl", ".cloudpickle"))]


def test_the_same_again_does_nothing(place: Place) -> None:
    assert "nothing to do" in place.run_here("ensemble", str(place.recipe))
    printed = place.run_here("models list", f"tracking.uri={place.uri}")
    assert printed.count("candidate") == 1 and "large" in printed


def test_bad_rows_and_missing_members_are_named(place: Place, tmp_path: Path) -> None:
    table = pd.DataFrame(
        {"prompt": ["a", "b", "c"], "responses": [["x"], ["x"], [1]], "images": [None, ["nowhere.png"], None]}
    )
    done = load_elsewhere(place, f"models:/{NAME}@candidate", table, tmp_path / "bad")
    assert "2 of 3 rows can't be scored: row 1: missing_media" in done.stderr
    assert "row 2: wrong_field_type: responses in row 2: expected a list" in done.stderr
    client = MlflowClient(place.uri)
    version = client.get_model_version("large", "1")
    client.delete_model_version("large", "1")
    try:
        done = load_elsewhere(place, f"models:/{NAME}@candidate", table, tmp_path / "gone")
        assert done.returncode == 1
        assert "member 'large' (models:/large/1) is missing: models:/large/1 is not in" in done.stderr
    finally:
        client.delete_registered_model("large")
        client.create_registered_model("large")
        client.create_model_version("large", version.source, version.run_id, model_id=version.model_id)


def aliases_of(client: MlflowClient) -> dict[str, str]:
    return {alias: str(version) for alias, version in client.get_registered_model(NAME).aliases.items()}


def test_the_gate_from_the_first_champion_to_the_second(place: Place) -> None:
    """v1 is the first champion; v2, of averaged weights, is refused, and passes a gate that lets all pass."""
    client = MlflowClient(place.uri)
    printed = place.run_here("promote", str(place.recipe))
    assert f"models:/{NAME}/1 is the champion" in printed
    assert aliases_of(client) == {"champion": "1"}
    first = client.get_model_version(NAME, "1")
    assert "over the rule that the longer answer wins, which has 0." in first.tags["gate.length"]
    registry = ModelRegistry(place.uri)
    served = read_served(registry.local_folder(registry.resolve(f"models:/{NAME}/1")))
    against = served.fitted["against_members"]
    better = {name for name, found in against.items() if found["difference"] < 0}
    assert set(against) == {"large", "other", "words"}
    assert {name for name in against if f"gate.member/{name}" in first.tags} == better
    assert all(f"member/{name}" in printed for name in better)
    assert "'three' has no candidate" in place.run_here("promote", str(place.recipe), code=2)

    runs = [{"name": name, "model": f"runs:/{place.run_ids[name]}", "share": share}
            for name, share in (("tiny", 3.0), ("again", 1.0))]  # fmt: skip
    second = str(place.write("average", runs, rule="average", seed=7))
    place.run("ensemble", second)
    strict = ["ensemble.gate.min_comparisons=1000", "ensemble.gate.min_gain=0.9"]
    printed = place.run("promote", second, *strict, code=1)
    assert f"the champion models:/{NAME}/1 was judged on other Comparisons" in printed
    assert re.search(
        rf"models:/{NAME}/2 stays a candidate: \d+ judged Comparisons with an order in [\d,]+ groups, 1,000 are",
        printed,
    )
    assert "the interval has to lie above +90.00" in printed
    version = client.get_model_version(NAME, "2")
    assert version.tags["gate"] == "refused" and version.tags["gate.champion"] == f"models:/{NAME}/1"
    assert version.tags["gate.better"].startswith("refused: ")
    assert client.get_run(version.run_id).data.tags["gate"] == "refused"
    assert [one.path for one in client.list_artifacts(version.run_id, "gate")] == ["gate/version-2-against-1.json"]
    assert aliases_of(client) == {"champion": "1", "candidate": "2"}

    lax = [f"ensemble.gate.{key}" for key in (
        "min_gain=-1", "confidence=1e-9", "max_group_loss=1", "max_calibration_loss=1"
    )]  # fmt: skip
    assert f"models:/{NAME}/2 is the champion; models:/{NAME}/1 was it" in place.run_here("promote", second, *lax)
    assert aliases_of(client) == {"champion": "2", "previous": "1"}
    assert client.get_model_version(NAME, "2").tags["gate"] == "passed"


def test_averaged_weights_need_no_member(place: Place) -> None:
    """The version holds the weights; runs after the gate has made it."""
    registry = ModelRegistry(place.uri)
    folder = registry.local_folder(registry.resolve(f"models:/{NAME}/2"))
    served = read_served(folder)
    assert [(member.name, member.model) for member in served.members] == [("average", ".")]
    assert [(one["name"], one["share"]) for one in served.fitted["of"]] == [("tiny", 3.0), ("again", 1.0)]
    mean, *parts = (
        load_reward_model(one).state_dict()
        for one in (folder, *(str(place.folder / name / "export") for name in ("tiny", "again")))
    )
    for name, value in mean.items():
        torch.testing.assert_close(value, 0.75 * parts[0][name] + 0.25 * parts[1][name])
    rows = [{"prompt": "Name a bird.", "responses": ["A wren.", "A trout."]}]
    loaded = mlflow.pyfunc.load_model(folder)
    encoder = Encoder(load_tokenizer(folder), served.members[0].reading.encode)
    [raw] = Scorer(folder, PackBudget(tokens=8192, patches=32768)).score(
        [encoder.encode(comparison_of(rows[0], 0, ""), [])]
    )
    assert served.ensemble is not None
    expected = served.ensemble.combine({"average": np.array(raw)}).rewards
    assert loaded.predict(pd.DataFrame(rows)).loc[0, "rewards"] == pytest.approx(expected.tolist(), abs=1e-5)


def test_a_benchmark_is_measured_with_all_members_and_the_gate_asks_for_it(place: Place, tmp_path: Path) -> None:
    suite, name = "mm_rlhf_rewardbench", "measured"
    write_suite(tmp_path, suite)
    members = [{"name": one, "model": f"runs:/{place.run_ids[one]}"} for one in ("tiny", "qwen2-vl-tiny")]
    recipe = str(place.write(name, members, suites=[suite], register_as=name))
    words = [f"evaluate.suite_root={tmp_path}", "evaluate.missing_pictures=without"]
    printed = place.run("ensemble", recipe, *words)
    assert "MM-RLHF-RewardBench" in printed and "nothing to do" in place.run_here("ensemble", recipe, *words)

    output, registry = place.folder / name, ModelRegistry(place.uri)
    version = registry.resolve(f"models:/{name}@candidate")
    folder = registry.local_folder(version)
    [found] = json.loads((output / "suites.json").read_text())["suites"]
    assert json.loads((Path(folder) / "suites.json").read_text()) == {"suites": [found]}
    rewards: dict[str, list[list[float]]] = {}
    for one in members:
        lines = (output / f"suites/{one['name']}/suites/{suite}.jsonl").read_text().splitlines()
        rewards[one["name"]] = [json.loads(line)["rewards"] for line in lines]
    ensemble = read_served(folder).ensemble
    assert ensemble is not None
    flat = ensemble.combine({one: np.array(rows).ravel() for one, rows in rewards.items()}).rewards.reshape(-1, 2)
    assert len(flat) == found["num_items"] == found["without_pictures"] == 170
    assert found["numbers"]["acc"]["right"] == int((flat[:, 0] > flat[:, 1]).sum())  # the chosen one stands first

    client = MlflowClient(place.uri)
    tags = client.get_model_version(name, "1").tags
    value = found["numbers"]["acc"]["value"]
    assert tags[f"suite.{suite}"].startswith(f"acc {value:.3f} on 170 rows, 170 scored without their pictures")
    refused = place.run_here("promote", recipe, *words, "ensemble.gate.suites={rm_bench: 0.5}", code=1)
    assert "rm_bench: not measured, 0.500 is asked for; name it in ensemble.suites" in refused
    asked = "ensemble.gate.suites={" + f"{suite}: {value}" + "}"
    assert "is the champion" in place.run_here("promote", recipe, *words, asked)
    assert f"acc {value:.3f} on 170 rows" in client.get_model_version(name, "1").tags[f"gate.suite/{suite}"]
