"""The benchmark of scoring on toys: both sides give the same rewards, and figures are what they are called."""

from pathlib import Path

import pytest
from toys import toy_comparison, toy_image

from benchmarks.scoring import __main__ as scoring
from benchmarks.scoring.sides import Ours, Reference
from benchmarks.train_step.sides import ModelSize
from data_pipeline.encoding.tokenizer import load_tokenizer, train_tokenizer

ITEMS = [
    *[toy_comparison(seed, images=(toy_image(seed),), prefix_text=4 + 3 * seed) for seed in range(2)],
    *[toy_comparison(seed, ranks=(1, 0, 2, 3, 4), prefix_text=9) for seed in range(2, 5)],
]
SPECIAL = {"<|endoftext|>": 5, "<|image_pad|>": 1, "<|video_pad|>": 0, "<|vision_start|>": 2, "<|vision_end|>": 3}


def test_sides_score_alike_and_figures_have_goals(tmp_path: Path) -> None:
    train_tokenizer(["What is it?"], 300, str(tmp_path))
    size = ModelSize(shape="nano", vocabulary=load_tokenizer(str(tmp_path)).vocab_size, special_ids=SPECIAL)
    reference = Reference(size)
    sides = {"ours": Ours(size, str(tmp_path), 256), "reference": reference, "grouped": reference}
    turns = scoring.measure(sides, ITEMS, 2)
    assert {name: len(found) for name, found in turns.items()} == dict.fromkeys(scoring.SIDES, 2)
    found = scoring.figures_of(turns, ITEMS, size)
    assert 0 < found["max_reward_difference"] < 1e-5
    seconds = sorted(turn.seconds for turn in turns["ours"])
    assert found["ours_items_per_s"] == pytest.approx(len(ITEMS) / (sum(seconds) / 2))
    assert found["flops_ratio"] > found["flops_ratio_grouped"] > 1 and found["images_reference"] == 2 * found["images"]
    assert {"ratio_k2", "ratio_k5", "max_reward_difference"} == set(scoring.GOALS)


def test_what_is_missing_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert scoring.main(["--quick", "--data", str(tmp_path)]) == 2
    assert "mllm_bench.jsonl" in capsys.readouterr().err
