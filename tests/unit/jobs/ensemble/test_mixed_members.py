"""Members of several paradigms: each is asked in its own way about the same Comparisons, and put on one scale."""

import json
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from critic_toys import ENCODE, write_critic, write_judge
from judge_toys import ScriptedWriter
from judge_toys import write_judge as write_reasoning
from local_pool import LocalPool
from served_toys import write_export

from data_pipeline.config import EncodeConfig
from data_pipeline.dataset.prepared import PreparedData
from data_pipeline.encoding.judge_format import CLOSING, reasoned
from data_pipeline.encoding.tokenizer import load_tokenizer, train_tokenizer
from data_pipeline.errors import RecipeError
from data_pipeline.pipeline import prepare
from jobs.ensemble import promote, scores
from jobs.ensemble.members import FoundMember, find_members
from jobs.ensemble.parts import Parts, divide
from jobs.ensemble.scores import score_members
from jobs.evaluate.prepare import Evaluation
from jobs.recipe.load import load_recipe
from jobs.recipe.schema import Recipe
from jobs.registry.pyfunc_model import add_served_files
from jobs.registry.registry import ModelRegistry, RegisteredVersion
from rm_core.ensembles.config import MemberConfig
from rm_core.ensembles.fit import fit
from rm_core.ensembles.gate import Standing
from rm_core.ensembles.table import score_table
from rm_core.generation.config import CritiquesConfig, VerdictsConfig
from rm_core.packing.plan import PackBudget
from rm_core.scoring import judge
from rm_core.scoring.critic import CriticScorer
from rm_core.scoring.scored import ScoredComparison
from rm_core.scoring.scored_file import ScoredOrigin
from rm_core.serving.served_model import ServedModel

WRITING = CritiquesConfig(source="written", number=2, max_tokens=4)
VERDICTS = VerdictsConfig(number=2, max_tokens=20)


class Place:
    """Twelve pairs prepared for critics and for others, and a model of each paradigm."""

    def __init__(self, folder: Path) -> None:
        rows = [
            {"prompt": f"Say {i}", "chosen": f"It is {i}.", "rejected": "No.", "chosen_critique": "Good.",
             "rejected_critique": "It is bad."}
            for i in range(12)
        ]  # fmt: skip
        (folder / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        train_tokenizer(["Say 1. It is 2. No. Good, bad."], 300, str(folder / "tokens"))
        (folder / "a.yaml").write_text(
            f"data_root: {folder}\nrun_dir: {folder}/run\npreprocess:\n  tokenizer: {folder}/tokens\n"
            "  split: {heldout_fraction: 0.99}\n  sources: [{name: pairs, path: pairs.jsonl}]\n"
        )
        recipe: Recipe = load_recipe(str(folder / "a.yaml"))
        prepare(recipe.preprocess)
        prepare(replace(recipe.preprocess, encode=ENCODE, output=f"{folder}/critiqued"))
        tokens = folder / "tokens"
        self.members = [
            MemberConfig(name="scalar", model=write_export(folder / "scalar/export", "nano", 1, tokens)),
            MemberConfig(name="critic", model=write_critic(folder / "critic/export", tokens), critiques=WRITING,
                         data=f"{folder}/critiqued"),
            MemberConfig(name="judge", model=write_judge(folder / "judge/export", tokens)),
        ]  # fmt: skip
        config = replace(recipe.ensemble, members=self.members, data=f"{folder}/run/shards", output=f"{folder}/out")
        self.recipe = replace(recipe, ensemble=config)
        self.data = PreparedData.open(f"{folder}/run/shards")
        self.registry = ModelRegistry(f"sqlite:///{folder}/mlflow.db")

    def found(self, **settings: object) -> list[FoundMember]:
        config = replace(self.recipe.ensemble, **settings)  # type: ignore[arg-type]
        return find_members(replace(self.recipe, ensemble=config), self.data, self.registry)

    @property
    def parts(self) -> Parts:
        return divide(replace(self.recipe.ensemble, sample=None), self.data)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place(tmp_path_factory.mktemp("mixed"))


def test_each_member_is_asked_in_its_own_way_and_all_are_on_one_scale(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scores, "ScoringPool", LocalPool)
    monkeypatch.setattr(scores, "open_cluster", nullcontext)
    members, parts = place.found(), place.parts
    common, scored = score_members(place.recipe, members, parts, place.registry)
    assert len(common.keys) == len(parts.keys) >= 10, "critiques are no part of what a Comparison is known by"
    critic = members[1]
    writer = CriticScorer(critic.folder, PackBudget(tokens=2048, patches=2048), WRITING)
    rows = dict(zip(critic.data.all_rows["content_key"].to_pylist(), range(critic.data.all_rows.num_rows), strict=True))
    one = scored["critic"][0]
    [expected] = writer.score([critic.data.encoded(rows[one.id])])
    assert one.rewards == pytest.approx(expected, abs=1e-5)
    assert all(sum(each.rewards) == pytest.approx(0, abs=1e-5) for each in scored["judge"])
    table = score_table(scored)
    ensemble = fit(table, "mean")
    standard = [(table.rewards[place] - one.mean) / one.spread for place, one in enumerate(ensemble.members)]
    assert [float(np.std(row)) for row in standard] == pytest.approx([1.0] * 3)
    before = LocalPool.loaded
    score_members(place.recipe, members, parts, place.registry)
    assert LocalPool.loaded == before, "what is known is not scored again"
    again = [replace(one, critiques=replace(WRITING, number=3)) for one in place.members[1:2]]
    score_members(place.recipe, place.found(members=again), parts, place.registry)
    assert LocalPool.loaded == before + 1, "other critiques are other rewards"


def test_what_makes_no_sense_is_refused_with_a_cure(place: Place, tmp_path: Path) -> None:
    named = "scalar is scalar, critic is critic, judge is generative"
    for settings, cure in (({"rule": "average"}, "with rule=mean"), ({"standardise": False}, "leave it true")):
        with pytest.raises(RecipeError, match=rf"several paradigms.*{named}.*{cure}"):
            place.found(**settings)
    assert len(place.found(members=place.members[:1], standardise=False)) == 1
    with pytest.raises(RecipeError, match=r"member 'scalar' .*it is a scalar reward model, which writes no critiques"):
        place.found(members=[replace(place.members[0], critiques=WRITING)])
    with pytest.raises(RecipeError, match=r"member 'judge' .*leave all but ensemble\.members\.verdicts\.pairs out"):
        place.found(members=[replace(place.members[2], verdicts=VERDICTS)])
    with pytest.raises(RecipeError, match=r"member 'scalar' .*verdicts is read where a generative reward model scores"):
        place.found(members=[replace(place.members[0], verdicts=VERDICTS)])


def test_a_judge_that_reasons_is_measured_with_the_settings_that_it_is_registered_with(
    place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(scores, "ScoringPool", LocalPool)
    monkeypatch.setattr(scores, "open_cluster", nullcontext)
    folder = place.members[2].model.replace("judge/export", "reasoning/export")
    write_reasoning(Path(folder), Path(place.members[0].model).parents[1] / "tokens", encode=EncodeConfig())

    def say(first: str, second: str) -> list[str]:
        silent = "10" in first + second
        return ["no idea"] * 2 if silent else [f"{reasoned('so')}{1 if 'It is' in first else 2}{CLOSING}", "no"]

    monkeypatch.setattr(judge, "_writer_of", lambda copy, *_: ScriptedWriter(load_tokenizer(copy), say))
    reasoning = MemberConfig(name="reasoning", model=folder, verdicts=VERDICTS)
    members, parts = place.found(members=[place.members[0], reasoning]), place.parts
    assert members[1].served.verdicts == VERDICTS and members[0].served.verdicts is None
    common, scored = score_members(place.recipe, members, parts, place.registry)
    assert {one.rewards for one in scored["reasoning"]} <= {(0.5, -0.5), (-0.5, 0.5)}
    assert len(scored["reasoning"]) == len(scored["scalar"]) == len(common.keys) == len(parts.keys) - 1
    assert "1 Comparisons have no verdict of member 'reasoning'" in " ".join(capsys.readouterr().out.split())
    before = LocalPool.loaded
    assert len(score_members(place.recipe, members, parts, place.registry)[0].keys) == len(common.keys)
    assert LocalPool.loaded == before, "what is known is not written again, and that nothing could be read neither"
    again = place.found(members=[replace(reasoning, verdicts=replace(VERDICTS, seed=1))])
    score_members(place.recipe, again, parts, place.registry)
    assert LocalPool.loaded == before + 1, "another seed writes other texts"


def test_rewards_that_evaluate_left_are_found_by_what_the_judge_was_asked(place: Place) -> None:
    fewer = VerdictsConfig(pairs="tournament")

    def origin(model: str, verdicts: VerdictsConfig) -> ScoredOrigin | None:
        config = replace(place.recipe.evaluate, model=model, verdicts=verdicts, split="heldout")
        return Evaluation(recipe=place.recipe, config=config, data=place.data, lineage={}).origin()

    found = []
    for verdicts in (VerdictsConfig(), fewer):
        [member] = place.found(members=[replace(place.members[2], verdicts=verdicts)])
        left = origin(member.folder, verdicts)
        assert left is not None and left.model == scores._model_of(member)
        found.append(left.model)
    assert found[0] != found[1]
    folder = place.members[2].model.replace("judge/export", "thinks/export")
    write_reasoning(Path(folder), Path(place.members[0].model).parents[1] / "tokens", encode=EncodeConfig())
    assert origin(folder, VERDICTS) is None, "what has no verdict counts as a tie there, and is left out here"


def test_what_a_champions_judge_says_nothing_of_is_wrong(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is compared with a candidate on all Comparisons of that one's."""
    member = place.found(members=place.members[:1])[0].served
    add_served_files(str(tmp_path), ServedModel(members=(member,), ensemble=None, token_budget=64, patch_budget=64))
    ours = [
        ScoredComparison(id=key, source="s", rewards=(2.0, 1.0), ranks=(0, 1), response_lengths=(1, 1), num_images=0,
                         blank_rewards=None, group=key)
        for key in ("a", "b")
    ]  # fmt: skip
    monkeypatch.setattr(promote, "scored_again", lambda *_: [replace(ours[1], rewards=(3.0, 0.0))])
    registry: Any = SimpleNamespace(local_folder=lambda *_: str(tmp_path))
    champion = RegisteredVersion(address="models:/x/1", location=str(tmp_path))
    theirs = promote.champion_standing(place.recipe, champion, Standing(scored=ours, temperature=1.0), registry)
    assert {one.id: one.rewards for one in theirs.scored} == {"a": (0.0, 0.0), "b": (3.0, 0.0)}
