"""The model card: it names the library that scores the model, and no path of the machine that trained it."""

import pytest

from rm_core.model.config import PARADIGMS
from rm_core.train_config.config import TrainConfig
from rm_core.training.export import model_card

LINEAGE = {"recipe": "mine", "data_fingerprint": "1f0c", "config": {"train.model": "/srv/models/Qwen2.5-VL-3B"}}


def card(model: str) -> str:
    return model_card(TrainConfig(model=model), LINEAGE, {"train/loss": 0.25, "train/tokens": 7.0}, 1200)


def test_the_library_is_the_one_that_scores_it() -> None:
    text = card("models/Qwen2.5-VL-3B")
    assert text.startswith("---\nlibrary_name: basereward\n")
    assert 'rm_core.load("this/folder")' in text
    assert "| train/loss | 0.2500 |" in text
    assert "tokens" not in text


@pytest.mark.parametrize(
    ("model", "shown"),
    [
        ("/srv/models/Qwen2.5-VL-3B", "Qwen2.5-VL-3B"),
        ("/srv/models/Qwen2.5-VL-3B/", "Qwen2.5-VL-3B"),
        ("s3://bucket/models/Qwen2.5-VL-3B", "s3://bucket/models/Qwen2.5-VL-3B"),
    ],
)
def test_a_local_folder_is_shown_by_its_name_alone(model: str, shown: str) -> None:
    text = card(model)
    assert f"| Started from | `{shown}` |" in text
    assert "/srv" not in text


@pytest.mark.parametrize("paradigm", PARADIGMS)
def test_it_says_what_the_model_reads(paradigm: str) -> None:
    text = model_card(TrainConfig(paradigm=paradigm), {}, {}, 1)
    assert f"# A {paradigm} reward model" in text
    assert ("critique" in text) == (paradigm == "critic")
    assert ("bradley_terry" in text) == (paradigm != "generative"), "a judge has no objective on rewards"
