"""Answers that are pictures, from ImageReward's own records to rewards: trained, scored, probed, exported."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from chat_rewards import inputs_of_text, text_of_chat
from distributed_ranks import run_ranks
from html_pages import PageReader
from painted import write_painted

from data_pipeline.config import EncodeConfig, PreprocessConfig, SourceConfig, SplitConfig
from data_pipeline.dataset.prepared import PreparedData
from data_pipeline.encoding.encoder import Encoder
from data_pipeline.encoding.tokenizer import load_tokenizer, train_tokenizer
from data_pipeline.inspection.places import read_place
from data_pipeline.pipeline import prepare
from data_pipeline.sources.readers.files import split_rows
from jobs.pages.data_page import render_page
from rm_core import load_reward_model
from rm_core.evaluation.diagnostics.rows import ProbedRows, probe_rows
from rm_core.evaluation.metrics import evaluate
from rm_core.evaluation.while_training import evaluation_sets
from rm_core.interop.export_model import export_model
from rm_core.model.config import InitModelConfig
from rm_core.model_folder.initialise import initialise_model
from rm_core.packing.plan import PackBudget
from rm_core.scoring.lines import LineReader
from rm_core.scoring.scorer import Scorer, score_rows
from rm_core.train_config.config import OptimizerConfig, TrainConfig, ZeroConfig
from rm_core.training import export, worker
from rm_core.training.evaluation import Rewards
from rm_core.training.trainer import Hooks

NUM_RECORDS = 24
BUDGET = PackBudget(tokens=2048, patches=4096)


def train(path: str) -> dict[str, Any]:
    """Train on this one rank; what the group's last evaluation gave each held-out record, by id."""
    folder, seen = Path(path), list[Rewards]()
    config = TrainConfig(
        model=str(folder / "model"), data=str(folder / "shards"), output=str(folder / "train"), max_steps=6,
        cache_dir=str(folder / "cache"), precision="fp32", zero=ZeroConfig(stage=0), global_batch=8, log_every=1,
        token_budget=600, checkpoint_every=6, evaluate_every=6, optimizer=OptimizerConfig(learning_rate=3e-3),
    )  # fmt: skip
    losses: list[float] = []

    def kept(rewards: Rewards) -> dict[str, float]:
        seen.append(rewards)
        return {"eval/accuracy": 0.5}

    hooks = Hooks(
        begin=lambda steps: None, log=lambda step, metrics: losses.append(metrics["train/loss"]), stop=lambda: False,
        before_save=lambda: None, note=print,
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(export, "audit_export", lambda folder, report: "")  # other tests go through it
        worker.train_rank(
            config, hooks, export_to=str(folder / "export"), lineage={},
            make_sets=lambda config, data: [replace(one, measure=kept) for one in evaluation_sets(config, data)],
        )  # fmt: skip
    return {"rewards": seen[-1], "losses": losses}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Records in ImageReward's form, prepared, and a tiny model."""
    path = tmp_path_factory.mktemp("painted")
    records = write_painted(path / "raw", NUM_RECORDS)
    (path / "tokens").mkdir()
    train_tokenizer([records.read_text()], 320, str(path / "tokens"))
    config = PreprocessConfig(
        sources=[SourceConfig(name="painted", shape="imagereward", path="pairs.jsonl")], data_root=str(path / "raw"),
        output=str(path / "shards"), tokenizer=str(path / "tokens"), split=SplitConfig(heldout_fraction=0.3),
    )  # fmt: skip
    assert prepare(config).counts.kept == NUM_RECORDS
    model = InitModelConfig(output=str(path / "model"), tokenizer=str(path / "tokens"), shape="nano")
    initialise_model(model, PreprocessConfig(), train_tokenizer=lambda folder: None)
    return path


@pytest.fixture(scope="module")
def trained(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = run_ranks(train, 1, folder / "results", str(folder))[0]
    return found


def heldout(folder: Path) -> tuple[PreparedData, list[int]]:
    data = PreparedData.open(str(folder / "shards"))
    return data, data.split_indices("heldout").tolist()


def read_again(folder: Path, *, ranking: bool) -> dict[str, Any]:
    """The records as `score` reads them, by id; without their ``ranking`` too."""
    records = [json.loads(line) for line in (folder / "raw" / "pairs.jsonl").read_text().splitlines()]
    kept = [one if ranking else {name: one[name] for name in ("id", "prompt", "generations")} for one in records]
    path = folder / "raw" / f"to-score-{ranking}.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in kept))
    source = SourceConfig(name="score", path=str(path), shape="imagereward")
    encoder, media = Encoder(load_tokenizer(str(folder / "model")), EncodeConfig()), PreprocessConfig().media
    reader = LineReader(source, str(folder / "raw"), encoder, media, 2048)
    lines = [line for part in split_rows(str(path), 256) for line in reader.lines(part)]
    assert not [line.error for line in lines if line.error] and not reader.take_unread()
    return {one["id"]: line.encoded for one, line in zip(records, lines, strict=True)}


def test_scored_records_have_the_rewards_of_the_trainer(folder: Path, trained: dict[str, Any]) -> None:
    data, rows = heldout(folder)
    names = [data.rows["id"][row].as_py() for row in rows]
    assert 3 < len(rows) < NUM_RECORDS and len(trained["losses"]) == 6
    scorer = Scorer(str(folder / "export"), BUDGET)
    for ranking in (True, False):
        lines = read_again(folder, ranking=ranking)
        rewards = scorer.score([lines[name] for name in names])
        for given, expected in zip(rewards, trained["rewards"], strict=True):
            assert given == pytest.approx(expected, abs=1e-5)
        assert {len(one) for one in rewards} == {3, 4} and all(len(set(one)) == len(one) for one in rewards)


def test_blank_pictures_leave_nothing_to_choose_by(folder: Path, trained: dict[str, Any]) -> None:
    data, rows = heldout(folder)
    scorer = Scorer(str(folder / "export"), BUDGET)
    scored = [one for chunk in score_rows(scorer, data, rows, blank_images=True) for one in chunk]
    for one in scored:
        assert one.num_images == len(one.rewards) and one.blank_rewards is not None
        assert len(set(one.blank_rewards)) == 1 and len(set(one.rewards)) == len(one.rewards)
    report = evaluate([replace(one, group=one.id) for one in scored], bootstrap_samples=10)
    assert report.blank_images is not None and report.blank_images.blank.value == 0.5, "it can but guess"
    assert report.blank_images.gain == pytest.approx(report.overall.accuracy.value - 0.5)
    probed = probe_rows(
        scorer, ProbedRows(data, load_tokenizer(str(folder / "model")), 2048), "blank_images", rows, rows
    )
    assert [one.rewards for one in probed] == [one.blank_rewards for one in scored]


def test_the_page_shows_the_pictures_of_the_answers(folder: Path) -> None:
    page = PageReader(render_page(read_place(str(folder / "shards"))))
    data, _ = heldout(folder)
    shown = sum(len(data.encoded(row).pictures) for row in range(len(data)))
    assert len(page.pictures) == shown


def test_the_exported_model_gives_transformers_the_same_rewards(folder: Path, trained: dict[str, Any]) -> None:
    """Each answer as a chat whose assistant's turn is a picture."""
    out = str(folder / "out")
    export_model(str(folder / "export"), out)
    model = load_reward_model(out)
    data, rows = heldout(folder)
    item, comparison = data.encoded(rows[0]), data.comparison(rows[0])
    asked = {"role": "user", "content": [{"type": "text", "text": comparison.prompt[0].parts[0]}]}
    text = text_of_chat(out, [asked, {"role": "assistant", "content": [{"type": "image"}]}])
    for ids, picture, expected in zip(item.response_ids, item.pictures, trained["rewards"][0], strict=True):
        inputs = inputs_of_text(out, text, picture.data)
        assert inputs["input_ids"][0].tolist() == [*item.prefix_ids.tolist(), *ids.tolist()]
        with torch.inference_mode():
            assert model(**inputs).logits.item() == pytest.approx(expected, abs=1e-5)
