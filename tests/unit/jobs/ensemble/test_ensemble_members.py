"""Members found, checked and pinned; rewards taken from files that say they are of this model, data and split."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from served_toys import log_training, write_export

from data_pipeline.config import SplitConfig
from data_pipeline.dataset.prepared import PreparedData
from data_pipeline.encoding.tokenizer import train_tokenizer
from data_pipeline.errors import BaserewardError, MissingInput, RecipeError, RunError
from data_pipeline.pipeline import prepare
from jobs.ensemble.members import FoundMember, member_of
from jobs.ensemble.parts import divide, parts_of
from jobs.ensemble.scores import score_members
from jobs.recipe.load import load_recipe
from jobs.recipe.schema import Recipe
from jobs.registry.commands import list_versions, register
from jobs.registry.pyfunc_model import add_served_files, one_model
from jobs.registry.registry import ModelRegistry
from rm_core.ensembles.config import EnsembleConfig, MemberConfig, check_ensemble_config
from rm_core.scoring.scored import ScoredComparison
from rm_core.scoring.scored_file import ScoredOrigin, write_scored


class Place:
    """60 prepared pairs of text, two exports, and an MLflow store."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        rows = [{"id": "same", "prompt": f"Say {i}", "chosen": f"It is {i}.", "rejected": "No."} for i in range(60)]
        (folder / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        train_tokenizer(["Say 1. It is 2. No."], 300, str(folder / "tokens"))
        (folder / "a.yaml").write_text(
            f"data_root: {folder}\nrun_dir: {folder}/run\npreprocess:\n  tokenizer: {folder}/tokens\n"
            "  split: {heldout_fraction: 0.5}\n  sources: [{name: pairs, path: pairs.jsonl}]\n"
            f"ensemble:\n  sample: 8\n  members:\n    - {{name: sees, model: {folder}/sees/train/export}}\n"
        )
        self.recipe: Recipe = load_recipe(str(folder / "a.yaml"))
        prepare(self.recipe.preprocess)
        self.data = PreparedData.open(f"{folder}/run/shards")
        self.sees = write_export(folder / "sees/train/export", "tiny", 1, folder / "tokens")
        self.words = write_export(folder / "words/export", "qwen3-tiny", 2, folder / "tokens")
        self.store = folder / "mlflow.db"
        self.registry = ModelRegistry(f"sqlite:///{self.store}")

    def member(self, model: str, **settings: bool) -> FoundMember:
        config = MemberConfig(name="one", model=model, **settings)  # type: ignore[arg-type]
        return member_of(config, self.data, self.registry, str(self.folder / "copies"))

    def scored(self, rows: Sequence[int]) -> list[ScoredComparison]:
        """Rewards that tell the row of the data."""
        return [
            ScoredComparison(id="same", source="pairs", rewards=(float(row), -1.0), ranks=(0, 1),
                             response_lengths=(2, 2), num_images=0)
            for row in rows
        ]  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place(tmp_path_factory.mktemp("members"))


def test_a_member_is_pinned_to_an_address_that_stays(place: Place) -> None:
    folder = place.folder / "trained"
    run_id = log_training(place.store, folder, "tiny", 3, place.folder / "tokens", place.folder / "run/shards")
    uri = f"sqlite:///{place.store}"
    assert register(str(folder / "export"), "rm", tracking_uri=uri) == 0
    assert register(f"runs:/{run_id}", "rm", tracking_uri=uri) == 0
    place.registry.set_alias(place.registry.resolve("models:/rm/1"), "champion")
    by_itself = place.registry.resolve(f"runs:/{run_id}")
    logged = by_itself.address
    newest = place.registry.version_of("rm", by_itself)
    assert newest is not None and newest.address == "models:/rm/2"
    assert f"models:/{newest.model_id}" == logged and newest.run_id == run_id
    for address, pinned in (
        ("models:/rm@champion", "models:/rm/1"), ("models:/rm/2", "models:/rm/2"), (logged, logged),
        (f"runs:/{run_id}", logged), (place.sees, place.sees),
    ):  # fmt: skip
        found = place.member(address)
        assert found.served.model == pinned, address
        assert found.served.reading == place.data.manifest.reading
        if address != place.sees:
            assert found.served.lineage["mlflow_run_id"] == run_id
            assert found.served.lineage["data_fingerprint"] == place.data.manifest.fingerprint
    assert [one.address for one in place.registry.versions()] == ["models:/rm/2", "models:/rm/1"]
    assert list_versions(tracking_uri=uri) == 0


def test_a_version_carries_what_benchmarks_gave_before_and_after_it_was_registered(place: Place) -> None:
    folder, uri = place.folder / "measured", f"sqlite:///{place.store}"
    run_id = log_training(place.store, folder, "tiny", 4, place.folder / "tokens", place.folder / "run/shards")
    place.registry.note_on_run(run_id, {"suite.rm_bench": "overall 0.700 on 798 rows"}, "note.txt", "")
    assert register(str(folder / "export"), "measured", tracking_uri=uri) == 0
    assert place.registry.resolve("models:/measured/1").tags["suite.rm_bench"] == "overall 0.700 on 798 rows"
    place.registry.tag_versions_of(run_id, {"suite.rewardbench": "overall 0.800 on 2,985 rows"})
    tags = place.registry.resolve("models:/measured/1").tags
    assert {key for key in tags if key.startswith("suite.")} == {"suite.rm_bench", "suite.rewardbench"}


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("models:/nothing/1", r"member 'one' \(models:/nothing/1\): models:/nothing/1 is not in sqlite"),
        ("models:/nothing@champion", "models:/nothing@champion is not in sqlite"),
        (f"models:/m-{'0' * 32}", f"models:/m-{'0' * 32} is not in sqlite"),
        (f"runs:/{'0' * 32}", f"runs:/{'0' * 32} is not in sqlite"),
        ("models:/rm", "names no model: write models:/NAME/VERSION"),
        ("runs:/short", "names no model"),
        ("nowhere", "has no model.json: it is no reward model"),
    ],
)
def test_an_address_that_means_nothing_is_refused(place: Place, model: str, message: str) -> None:
    with pytest.raises(MissingInput, match=message):
        place.member(model)


def test_a_member_that_does_not_fit_is_refused(place: Place, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"member 'one' \(qwen3\) sees no images: give it `text_only: true`"):
        place.member(place.words)
    assert place.member(place.words, text_only=True).served.text_only
    train_tokenizer(["other words altogether"], 310, str(tmp_path / "tokens"))
    with pytest.raises(RecipeError, match=r"member 'one' .* tokenizer \(sha256\) is .* token ids mean other texts"):
        place.member(write_export(tmp_path / "other", "tiny", 1, tmp_path / "tokens"))
    damaged = shutil.copytree(place.sees, tmp_path / "damaged")
    (damaged / "reward_head.json").write_text("{}")
    with pytest.raises(RunError, match=r"member 'one' .*reward_head\.json' is missing or differs"):
        place.member(str(damaged))
    several = one_model("x", place.sees, place.member(place.sees).served.reading)
    add_served_files(str(tmp_path / "ensemble"), several)
    with pytest.raises(RecipeError, match=r"member 'one' .* it is an ensemble of others: name those in its place"):
        place.member(str(tmp_path / "ensemble"))


def test_models_says_which_store_it_wants(monkeypatch: pytest.MonkeyPatch, place: Place) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(RecipeError, match="which MLflow"):
        list_versions(tracking_uri=None)
    with pytest.raises(RecipeError, match="names no MLflow run that it came from"):
        register(place.words, "rm", tracking_uri=f"sqlite:///{place.store}")


def test_what_is_fitted_on_is_not_judged(place: Place) -> None:
    parts = divide(place.recipe.ensemble, place.data)
    assert (~parts.judged).sum() == 8, "the sample"
    everything = divide(replace(place.recipe.ensemble, sample=None), place.data)
    assert everything.judged.sum() == parts.judged.sum()
    assert len(everything.keys) == len(place.data.split_indices("heldout"))
    assert set(parts.keys.to_pylist()) <= set(everything.keys.to_pylist())
    again = parts_of(place.recipe.ensemble, place.data, parts.keys.to_pylist())
    assert again.keys.to_pylist() == parts.keys.to_pylist() and again.judged.all()
    with pytest.raises(RunError, match="has none of the 1 Comparisons"):
        parts_of(place.recipe.ensemble, place.data, ["no key"])
    with pytest.raises(RunError, match="change ensemble.judge_share"):
        divide(replace(place.recipe.ensemble, judge_share=1e-9), place.data)


def test_rewards_of_an_evaluation_are_taken_where_they_are_of_the_same(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole split was scored by `basereward evaluate`, beside the training's folder."""
    member = place.member(place.sees)
    rows = place.data.split_indices("heldout").tolist()
    origin = ScoredOrigin(data_fingerprint=place.data.manifest.fingerprint, split="heldout", model=member.served.sha256)
    url = str(place.folder / "sees/evaluate/scored.parquet")
    asked: list[str] = []

    def no_cluster(config: object) -> None:
        asked.append("cluster")
        raise RunError("scored")

    monkeypatch.setattr("jobs.ensemble.scores.open_cluster", no_cluster)
    parts = divide(place.recipe.ensemble, place.data)
    for other in (
        None,
        replace(origin, split="train"),
        replace(origin, model="x"),
        replace(origin, data_fingerprint=""),
    ):
        write_scored(url, place.scored(rows), other)
        with pytest.raises(RunError, match="scored"):
            score_members(place.recipe, [member], parts, place.registry)
    write_scored(url, place.scored(rows), origin)
    asked.clear()
    same, scored = score_members(place.recipe, [member], parts, place.registry)
    assert asked == [] and same.keys.to_pylist() == parts.keys.to_pylist()
    keys = place.data.all_rows["content_key"].to_pylist()
    found = {one.id: one.rewards[0] for one in scored["one"]}
    assert found == {key: float(keys.index(key)) for key in parts.keys.to_pylist()}, "each under its content's hash"
    fitted, judged = parts.split(scored)
    assert len(fitted["one"]) == 8 and len(judged["one"]) == int(parts.judged.sum())
    assert not {one.id for one in fitted["one"]} & {one.id for one in judged["one"]}


def test_a_member_with_other_data_leaves_out_what_it_lacks(
    place: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same records without three of them: Comparisons are matched by content."""
    lines = (place.folder / "pairs.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "pairs.jsonl").write_text("".join(lines[3:]))
    config = replace(place.recipe.preprocess, data_root=str(tmp_path), output=str(tmp_path / "shards"),
                     split=SplitConfig(heldout_fraction=0.5))  # fmt: skip
    prepare(config)
    other = PreparedData.open(str(tmp_path / "shards"))
    members = []
    for name, data, model in (("one", place.data, place.sees), ("two", other, str(tmp_path / "copy/train/export"))):
        if name == "two":
            shutil.copytree(place.sees, model)
        found = member_of(MemberConfig(name=name, model=model), data, place.registry, str(tmp_path))
        members.append(found)
        rows = data.split_indices("heldout").tolist()
        origin = ScoredOrigin(data_fingerprint=data.manifest.fingerprint, split="heldout", model=found.served.sha256)
        evaluated = Path(model).parents[1] / "evaluate/scored.parquet"
        write_scored(str(evaluated), place.scored(rows), origin)
    parts = divide(replace(place.recipe.ensemble, sample=None), place.data)
    common, scored = score_members(place.recipe, members, parts, place.registry)
    lost = len(parts.keys) - len(common.keys)
    heldout = set(np.array(place.data.all_rows["content_key"].to_pylist())[place.data.split_indices("heldout")])
    kept = set(other.all_rows["content_key"].to_pylist())
    assert lost == len(heldout - kept)
    assert [one.id for one in scored["one"]] == [one.id for one in scored["two"]] == common.keys.to_pylist()
    if lost:
        assert f"{lost} Comparisons are not in the data of every member" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"members": []}, "ensemble.members is empty"),
        ({"members": [MemberConfig(name="a")]}, r"members\[0\] needs `name:` and `model:`, it has 'a', ''"),
        ({"members": [MemberConfig(name="a", model="m")] * 2}, "has 'a' twice"),
        ({"members": [MemberConfig(name="a b", model="m")]}, r"members\[0\]\.name='a b' must be of letters"),
        ({"members": [MemberConfig(name="a", model="m", share=0.0)]}, r"members\.0\.share=0.0 of 'a' must be above 0"),
        ({"rule": "max"}, "rule='max' must be one of mean, accuracy"),
        ({"rule": "average"}, "rule='average' must be for two members or more"),
        ({"register_as": "paper/x"}, "register_as='paper/x' must be of letters"),
        ({"judge_share": 1.0}, "judge_share=1.0 must be above 0 and below 1"),
        ({"sample": 0}, "sample=0 must be at least 1, or unset"),
        ({"temperature": 0.0}, "temperature=0.0 must be above 0"),
        ({"penalty": -1.0}, "penalty=-1.0 must be at least 0"),
        ({"confidence": 1.0}, "confidence=1.0 must be above 0 and below 1"),
    ],
)
def test_a_section_that_cannot_be_meant_is_refused(change: dict[str, object], message: str) -> None:
    config = EnsembleConfig(members=[MemberConfig(name="a", model="m")])
    check_ensemble_config(config)
    with pytest.raises(RecipeError, match=message):
        check_ensemble_config(replace(config, **change))  # type: ignore[arg-type]


def test_a_mistyped_member_is_told_by_its_key(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    for members, message in (
        ("[{name: a, modle: m}]", r"no key 'ensemble\.members\[0\]\.modle': did you mean 'model'"),
        ("[a]", r"ensemble\.members\[0\] is 'a', but has to hold `name:` and `model:`"),
        ("a", r"ensemble\.members is 'a', but has to be a list"),
    ):
        path.write_text(f"ensemble:\n  members: {members}\n")
        with pytest.raises(BaserewardError, match=message):
            load_recipe(str(path))
