"""Answers that begin with white space: tokens as a model writes them, or as the template over the whole text gives."""

from typing import Any

import numpy as np
import pytest
from transformers import AutoTokenizer

from data_pipeline.bounds import check_bounds
from data_pipeline.config import EncodeConfig, PreprocessConfig, SourceConfig
from data_pipeline.encoding.encoder import Encoder, common_prefix
from data_pipeline.encoding.tokenizer import load_tokenizer, train_tokenizer
from data_pipeline.encoding.truncate import cut
from data_pipeline.errors import RecipeError
from data_pipeline.records.comparison import Comparison, Response, Turn
from data_pipeline.transform.planning import check_config, portable_config

TEMPLATE, GENERATED = EncodeConfig(answer_start="template"), EncodeConfig(answer_start="generated")
JOINING = ["\nStart.", "\n\nStart.", "\n", " \nStart.", "\r\nStart.", "\n   Start."]
"""Answers whose first characters are one word with the header's line break."""
PLAIN = ["Start.", " Start.", "  Start.", "(Start", "7 starts", "é starts", "", "\u0301 starts", "\u00a0Start."]
TURNS = (Turn("user", ("Hi?",)), Turn("assistant", ("\nWell.",)), Turn("user", ("Go on",)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = str(tmp_path_factory.mktemp("model"))
    train_tokenizer([f"Hi?\n\nStart. \n\n\nGo on {i}\r\n\r\n  \n   Start" for i in range(30)], 400, path)
    return path


def comparison(*answers: str) -> Comparison:
    responses = tuple(Response((answer,), rank) for rank, answer in enumerate(answers))
    return Comparison(id="x", source="s", prompt=TURNS, responses=responses, media=())


def by_template(folder: str, answer: str) -> list[int]:
    """Tokens of the whole dialogue as one text, without the last line break."""
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    chat = [{"role": turn.role, "content": "".join(map(str, turn.parts))} for turn in TURNS]
    text = tokenizer.apply_chat_template([*chat, {"role": "assistant", "content": answer}], tokenize=False)
    ids: list[int] = tokenizer.encode(text, add_special_tokens=False)[:-1]
    return ids


def whole(folder: str, config: EncodeConfig, *answers: str) -> list[list[int]]:
    encoded = Encoder(load_tokenizer(folder), config).encode(comparison(*answers), [])
    return [[*encoded.prefix_ids.tolist(), *ids.tolist()] for ids in encoded.response_ids]


@pytest.mark.parametrize("answer", JOINING + PLAIN)
def test_template_gives_the_tokens_of_the_whole_text(folder: str, answer: str) -> None:
    assert whole(folder, TEMPLATE, answer, "Other.") == [by_template(folder, answer), by_template(folder, "Other.")]
    assert whole(folder, TEMPLATE, "Other.", answer)[1] == by_template(folder, answer)


@pytest.mark.parametrize("answer", JOINING)
def test_generated_gives_the_tokens_that_follow_a_prompt(folder: str, answer: str) -> None:
    """A server gives the model the prompt, header and line break, and the model goes on from there."""
    tokenizer = load_tokenizer(folder)
    encoded = Encoder(tokenizer, GENERATED).encode(comparison(answer, "Other."), [])
    header = [tokenizer.special_ids["<|im_start|>"], *tokenizer.encode("assistant\n")]
    assert encoded.prefix_ids[-len(header) :].tolist() == header
    assert encoded.response_ids[0].tolist() == [*tokenizer.encode(answer), tokenizer.special_ids["<|im_end|>"]]
    if answer.startswith("\n"):  # the small vocabulary has no token for the others
        assert whole(folder, GENERATED, answer)[0] != by_template(folder, answer), "which is another reading"
    assert whole(folder, EncodeConfig(), answer) == whole(folder, GENERATED, answer), "and the default"


@pytest.mark.parametrize("answer", PLAIN)
def test_other_answers_are_read_alike_and_share_the_header(folder: str, answer: str) -> None:
    tokenizer = load_tokenizer(folder)
    one, other = (
        Encoder(tokenizer, config).encode(comparison(answer, "Other."), []) for config in (TEMPLATE, GENERATED)
    )
    assert np.array_equal(one.prefix_ids, other.prefix_ids)
    assert [ids.tolist() for ids in one.response_ids] == [ids.tolist() for ids in other.response_ids]


def test_segments_and_cuts_know_where_the_line_break_stands(folder: str) -> None:
    encoded, segments = Encoder(load_tokenizer(folder), TEMPLATE).encode_segments(
        comparison("\nStart it.", "No way"), []
    )
    assert sum(segments.lengths) == len(encoded.prefix_ids)
    assert segments.floors == (3, 3)
    lengths = [len(ids) for ids in encoded.response_ids]
    asked = (segments.lengths, segments.images, lengths, segments.floors)
    shortest = len(encoded.prefix_ids) - sum(segments.lengths[1:3])
    kept = cut(*asked, shortest + 3, "responses")
    assert kept is not None and max(kept.response_keep) == 3, "line break, a token of text, the closing one"
    assert cut(*asked, shortest + 2, "responses") is None
    assert common_prefix(encoded.response_ids, encoded.ranks) == 0


def test_the_default_keeps_the_addresses_of_what_was_prepared_before() -> None:
    assert "answer_start" not in portable_config(PreprocessConfig())["encode"]
    assert portable_config(PreprocessConfig(encode=TEMPLATE))["encode"]["answer_start"] == "template"
    with pytest.raises(RecipeError, match=r"encode\.answer_start='whole'.*generated, template"):
        check_bounds(PreprocessConfig(encode=EncodeConfig(answer_start="whole")), "preprocess")


def test_line_break_ends_an_answer_as_the_template_does(folder: str) -> None:
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    (end,) = tokenizer.encode("\n", add_special_tokens=False)
    for answer in ("Start.", "Start.\n", "\nStart."):
        ids = whole(folder, EncodeConfig(answer_start="template", answer_end="line_break"), answer, "Other.")[0]
        assert ids == [*by_template(folder, answer), end]
    assert "answer_end" not in portable_config(PreprocessConfig())["encode"]
    config = PreprocessConfig(sources=[SourceConfig(name="a", path="a.jsonl")])
    config.encode.answer_end, config.rules.truncate = "line_break", "responses"
    with pytest.raises(RecipeError, match=r"rules.truncate='responses' .* would cut"):
        check_config(config)
