"""A scalar reward model, a critic and two judges as they are served, and what else gives their rewards."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from critic_toys import write_critic, write_judge
from served_models import TEXTS, ServedModels
from taught_judges import write_taught_judge

from data_pipeline.config import MediaConfig, SourceConfig
from data_pipeline.encoding.encoder import Encoder
from data_pipeline.encoding.tokenizer import load_tokenizer
from data_pipeline.sources.readers.files import RowRange
from jobs.registry.pyfunc_model import add_served_files, one_model
from jobs.serve.models import find_model, load_model
from rm_core.ensembles.ensemble import Ensemble, Member
from rm_core.generation.config import CritiquesConfig, VerdictsConfig
from rm_core.model_folder.folder import marker_sha256
from rm_core.model_folder.paradigm import paradigm_of
from rm_core.model_folder.reading import reading_of
from rm_core.packing.plan import PackBudget
from rm_core.scoring.choose import scorer_of, verdicts_read
from rm_core.scoring.critic import Critiqued
from rm_core.scoring.judge import JudgedOnce
from rm_core.scoring.lines import LineReader
from rm_core.scoring.written import WritingScorer
from rm_core.serving.config import ServeConfig
from rm_core.serving.served_model import ServedMember, ServedModel
from rm_core.serving.service import LoadedModel

WRITING = CritiquesConfig(source="written", number=2, max_tokens=6, seed=3)
JUDGING = VerdictsConfig(number=3, max_tokens=40, seed=3)
BUDGET = PackBudget(tokens=2048, patches=2048)
SCALES = {"scalar": (0.1, 0.2), "critic": (-0.1, 0.05), "generative": (0.0, 0.4), "reasoning": (0.0, 0.3)}
"""Mean and standard deviation of each member's rewards, as an ensemble would have measured them."""


class ParadigmModels:
    """Folders of models, by the paradigm of each; ``reasoning`` is a judge that has learnt to give verdicts."""

    def __init__(self, folder: Path) -> None:
        self.base = ServedModels(folder)
        tokens = folder / "tokens"
        self.folders = {
            "scalar": self.base.sees,
            "critic": write_critic(folder / "critic", tokens),
            "generative": write_judge(folder / "judge", tokens),
            "reasoning": write_taught_judge(folder / "reasoning", tokens, " ".join(TEXTS).split()),
        }

    def load(self, place: str, config: ServeConfig) -> LoadedModel:
        """As `basereward serve` does: a paradigm's model, or the ensemble in a folder."""
        return load_model(find_model(self.folders.get(place, place), None, asdict(self.base.reading)), config)

    def by_pyfunc(self, paradigm: str, rows: list[dict[str, Any]], verdicts: VerdictsConfig = JUDGING) -> Any:
        """The table that `mlflow.pyfunc` gives."""
        reading = reading_of(self.folders[paradigm])
        assert reading is not None
        place = self.folders[paradigm]
        add_served_files(place, one_model("one", place, reading, WRITING, verdicts))
        return self.base.by_pyfunc(rows, place)

    def by_score(
        self,
        paradigm: str,
        rows: list[dict[str, Any]],
        critiques: CritiquesConfig = WRITING,
        verdicts: VerdictsConfig = JUDGING,
    ) -> list[Any]:
        """What `basereward score` gives of them as lines, each alone."""
        place = self.folders[paradigm]
        reading = reading_of(place)
        assert reading is not None
        path = self.base.folder / "lines.jsonl"
        path.write_text("".join(json.dumps(_line(row)) + "\n" for row in rows), encoding="utf8")
        reader = LineReader(
            SourceConfig(name="s", path=str(path)), str(self.base.folder),
            Encoder(load_tokenizer(place), reading.encode), MediaConfig(), 300,
            needs_critiques=critiques.source == "given",
        )  # fmt: skip
        scorer = scorer_of(
            place, BUDGET, critiques if paradigm == "critic" else CritiquesConfig(),
            verdicts_read(place, verdicts) or VerdictsConfig(), attention="sdpa",
        )  # fmt: skip
        found: list[Critiqued | JudgedOnce] = []
        for line in reader.lines(RowRange(0, len(rows), 0)):
            assert line.encoded is not None, line.error
            if isinstance(scorer, WritingScorer):
                found.append(scorer.made(line.encoded))
            else:
                found += [Critiqued(rewards, (), 0, 0, 0.0) for rewards in scorer.score([line.encoded])]
        return found

    def ensemble(self, critiques: CritiquesConfig = WRITING) -> str:
        """A folder that says how all of them are put together."""
        served, members = [], []
        for name, place in self.folders.items():
            reading = reading_of(place)
            assert reading is not None
            mean, spread = SCALES[name]
            served.append(
                ServedMember(
                    name=name,
                    model=place,
                    sha256=marker_sha256(place),
                    text_only=False,
                    reading=reading,
                    lineage={},
                    critiques=critiques if paradigm_of(place) == "critic" else None,
                    verdicts=verdicts_read(place, JUDGING),
                )
            )
            members.append(
                Member(name=name, text_only=False, mean=mean, spread=spread, weight=1.0, accuracy=0.5, margin=1.0)
            )
        ensemble = Ensemble(members=tuple(members), rule="mean", penalty=1.0, temperature=2.0, num_comparisons=10)
        model = ServedModel(members=tuple(served), ensemble=ensemble, token_budget=2048, patch_budget=2048)
        place = str(self.base.folder / f"ensemble-{critiques.source}")
        add_served_files(place, model)
        return place

    def combined(self, rows: list[dict[str, Any]]) -> list[list[float]]:
        """What the ensemble has to give: the mean of the members' rewards in their standard deviations."""
        members = {name: self.by_score(name, rows) for name in self.folders}
        return [
            np.mean(
                [(np.array(found[place].rewards) - SCALES[name][0]) / SCALES[name][1]
                 for name, found in members.items()],
                axis=0,
            ).tolist()
            for place in range(len(rows))
        ]  # fmt: skip


def _line(row: dict[str, Any]) -> dict[str, Any]:
    texts = row.get("critiques")
    responses = row["responses"]
    if texts is not None:
        responses = [{"text": one, "critique": text} for one, text in zip(responses, texts, strict=True)]
    return {"prompt": row["prompt"], "responses": responses, "image": row["images"]}


def serving(**settings: Any) -> ServeConfig:
    """A server's settings with short critiques and verdicts."""
    return replace(ServeConfig(batch_wait_ms=20, max_responses=6, critiques=WRITING, verdicts=JUDGING), **settings)
