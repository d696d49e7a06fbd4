"""Answers are told apart by their tokens and pictures, not by their texts."""

import json
from pathlib import Path

import pytest

from data_pipeline.config import EncodeConfig
from data_pipeline.encoding.encoder import Encoder, check_tokens
from data_pipeline.encoding.tokenizer import load_tokenizer, train_tokenizer
from data_pipeline.errors import RecordError
from data_pipeline.media import Image
from data_pipeline.records.checks import check
from data_pipeline.records.comparison import Comparison, ImageSlot, MediaRef, Part, Response, Turn


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    """A tokenizer that composes characters, as Qwen's does, and leaves some out, as others do."""
    folder = tmp_path_factory.mktemp("model")
    train_tokenizer(["Write it. café, naïve, one, two."] * 9, 300, str(folder))
    path = Path(folder, "tokenizer.json")
    raw = json.loads(path.read_text())
    vanish = {"type": "Replace", "pattern": {"Regex": "[\u200b\ufeff\u00a4]"}, "content": ""}
    raw["normalizer"] = {"type": "Sequence", "normalizers": [{"type": "NFC"}, vanish]}
    path.write_text(json.dumps(raw))
    return Encoder(load_tokenizer(str(folder)), EncodeConfig())


def judged(encoder: Encoder, *answers: tuple[tuple[Part, ...] | str, int], keys: tuple[str, ...] = ()) -> None:
    """What preprocessing asks of a Comparison before and after it becomes tokens."""
    responses = tuple(Response((parts,) if isinstance(parts, str) else parts, rank) for parts, rank in answers)
    media = tuple(MediaRef(path=f"{place}.png") for place in range(len(keys)))
    made = Comparison(id="1", source="s", prompt=(Turn("user", ("Write it.",)),), responses=responses, media=media)
    check(made)
    check_tokens(made, encoder.encode(made, [Image(b"x", key, 56, 56) for key in keys]))


@pytest.mark.parametrize(
    "answers",
    [
        (("caf\u00e9", 0), ("cafe\u0301", 1)),
        (("one", 0), ("o\u200bne", 1)),
        (("\u212bngstr\u00f6m", 0), ("A\u030angstro\u0308m", 1)),
        (("\uac00", 0), ("\u1100\u1161", 1)),
        (("two", 0), ("caf\u00e9", 1), ("one", 2), ("cafe\u0301", 3)),
        ((("caf\u00e9 ", ImageSlot(0)), 0), (("cafe\u0301 ", ImageSlot(1)), 1)),
    ],
)
def test_answers_that_are_the_same_tokens_are_refused(
    encoder: Encoder, answers: tuple[tuple[tuple[Part, ...] | str, int], ...]
) -> None:
    with pytest.raises(RecordError, match="identical_tokens: responses . and . are the same"):
        judged(encoder, *answers, keys=("one file", "one file") if isinstance(answers[0][0], tuple) else ())


@pytest.mark.parametrize("nothing", ["\u00a4", "\u00a4\u200b\u00a4"])
def test_an_answer_of_which_no_token_is_left_is_empty(encoder: Encoder, nothing: str) -> None:
    with pytest.raises(RecordError, match="empty_response: response 1: the tokenizer leaves nothing"):
        judged(encoder, ("one", 0), (nothing, 1))


def test_what_the_model_can_tell_apart_is_kept(encoder: Encoder) -> None:
    judged(encoder, ("caf\u00e9", 0), ("cafe", 1))
    judged(encoder, ("caf\u00e9", 1), ("cafe\u0301", 1), ("one", 0))  # a tie of equals says nothing wrong
    judged(encoder, ((ImageSlot(0),), 0), ((ImageSlot(1),), 1), keys=("this file", "that file"))
    with pytest.raises(RecordError, match="identical_tokens"):
        judged(encoder, ((ImageSlot(0),), 0), ((ImageSlot(1),), 1), keys=("one file", "one file"))
