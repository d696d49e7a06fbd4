"""Reasonings about pairs of answers: their way from records through shards to questions, and records that lack one."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from data_pipeline.config import EncodeConfig, PreprocessConfig, RulesConfig, SourceConfig
from data_pipeline.dataset.shard_reader import ShardReader
from data_pipeline.dataset.shards import COMPARISON_SCHEMA, ShardRow, read_table, reasoned_lengths, write_shard
from data_pipeline.encoding.encoded import EncodedComparison
from data_pipeline.encoding.encoder import Encoder
from data_pipeline.encoding.judge_format import CLOSING, reasoned, verdict_of
from data_pipeline.encoding.questions import Asking, question_tokens
from data_pipeline.encoding.reading import Reading
from data_pipeline.encoding.tokenizer import ChatTokenizer, load_tokenizer, train_tokenizer
from data_pipeline.encoding.truncate import Cut
from data_pipeline.errors import RecipeError, RecordError, RunError
from data_pipeline.records.comparison import Comparison, Reasoning
from data_pipeline.records.selection import extremes
from data_pipeline.sources.registry import adapter_of, unranked_adapter
from data_pipeline.transform.planning import check_config, portable_config
from data_pipeline.transform.row_builder import RowBuilder

GIVEN = EncodeConfig(reasonings="given", system_prompt="S")
SOURCE = SourceConfig(name="mine", path="mine.jsonl")
WHY = [{"first": 1, "second": 0, "text": " Red is right.\n"}, {"first": 0, "second": 1, "text": "It is so."}]
PAIR = {"prompt": "Which?", "chosen": "Red.", "rejected": "Blue.", "reasonings": WHY}
QUESTION = "{first} or {second}?"


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> ChatTokenizer:
    path = str(tmp_path_factory.mktemp("model"))
    train_tokenizer(["Which? Red. Blue. Red is right. It is so. <think></think><answer>1</answer> 2"], 320, path)
    return load_tokenizer(path)


def comparison(**changes: Any) -> Comparison:
    made = adapter_of("jsonl")({**PAIR, **changes}, SOURCE, 0)
    assert isinstance(made, Comparison)
    return made


def encoded(tokenizer: ChatTokenizer, config: EncodeConfig = GIVEN, **changes: Any) -> EncodedComparison:
    return Encoder(tokenizer, config).encode(comparison(**changes), [])


def test_records_bring_reasonings_and_bad_ones_are_refused() -> None:
    assert comparison().reasonings == (Reasoning(1, 0, " Red is right.\n"), Reasoning(0, 1, "It is so."))
    assert comparison(reasonings=None).reasonings == ()
    for bad, message in (
        ([{"first": 0, "second": 2, "text": "x"}], "second in row 0: expected the place of one of 2 answers"),
        ([{"first": True, "second": 0, "text": "x"}], "first in row 0: expected the place"),
        ([{"first": 0, "second": 0, "text": "x"}], "expected the places of two answers"),
        ([{"first": 0, "second": 1}], "text in row 0"),
        ("It is so.", "expected a list of objects"),
    ):
        with pytest.raises(RecordError, match=message):
            comparison(reasonings=bad)
    assert unranked_adapter(SOURCE.fields)(PAIR, SOURCE, 0).reasonings == (), "what is scored needs none"


def test_a_reasoning_stands_behind_its_question_with_the_verdict_of_the_record(tokenizer: ChatTokenizer) -> None:
    asking = Asking(question_tokens(tokenizer, QUESTION, GIVEN), "given")
    asked = asking(encoded(tokenizer))
    assert asked.questions is not None
    end = "<|im_end|>\n<|im_start|>assistant\n"
    assert [tokenizer.decode(ids) for ids in asked.response_ids] == [
        f"Blue. or Red.?{end}<think>Red is right.</think><answer>2</answer><|im_end|>",
        f"Red. or Blue.?{end}<think>It is so.</think><answer>1</answer><|im_end|>",
    ]
    assert asked.questions.pairs == ((1, 0), (0, 1)) and asked.questions.right == (1, 0)
    assert asked.questions.weights == (0.5, 0.5), "a pair weighs 1, however often it is written about"
    for ids, right in zip(asked.response_ids, asked.questions.right, strict=True):
        assert ids[len(ids) - asked.questions.behind] == asked.questions.verdicts[right]
        whole = tokenizer.decode(ids).partition(end)[2]
        assert verdict_of(whole.removesuffix("<|im_end|>")) == right


def test_what_a_judge_is_asked_is_the_same_with_and_without(tokenizer: ChatTokenizer) -> None:
    tokens = question_tokens(tokenizer, QUESTION, GIVEN)
    with_them, without = (
        Asking(tokens, "all")(encoded(tokenizer, one)) for one in (GIVEN, EncodeConfig(system_prompt="S"))
    )
    assert all(map(np.array_equal, with_them.response_ids, without.response_ids))
    assert with_them.questions == without.questions and with_them.target_starts == ()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        "<answer>1</answer>",
        "<think>x</think>",
        "<think>x</think><answer>1",
        "<think>x</think><answer>3</answer>",
        "<think>x</think><answer>1 or 2</answer>",
        "<think>x</think><answer>1</answer><answer>2</answer>",
        "<think>x</think><answer>1</answer> or so",
        "I think <think>x</think><answer>1</answer>",
        "<think><answer>2</answer></think><answer>1</answer>",
        "<think>x<think>y</think><answer>1</answer>",
        "<answer>1</answer><think>x</think>",
        "<THINK>x</THINK><ANSWER>1</ANSWER>",
        "<think>x</think><answer>\u0661</answer>",
    ],
)
def test_nonsense_is_no_verdict(text: str) -> None:
    assert verdict_of(text) is None


@pytest.mark.parametrize(("text", "verdict"), [("1", 0), (" 2\n", 1)])
def test_a_verdict_in_its_form_is_one(text: str, verdict: int) -> None:
    why = reasoned("1 is right.\n\n2 is not.")
    assert verdict_of(f"\n{why}{text}{CLOSING}\n") == verdict


def read_back(tokenizer: ChatTokenizer, folder: Path, config: EncodeConfig = GIVEN) -> tuple[ShardRow, ShardReader]:
    made = comparison()
    item, segments = Encoder(tokenizer, config).encode_segments(made, [])
    row = ShardRow(made, item, segments, "key")
    write_shard(str(folder), "a", [row])
    return row, ShardReader(*(read_table(str(folder / name)) for name in ("a.arrow", "a.images.arrow")))


def test_shards_carry_reasonings(tokenizer: ChatTokenizer, tmp_path: Path) -> None:
    row, reader = read_back(tokenizer, tmp_path)
    found = reader.encoded(0, Cut(0, tuple(map(len, row.encoded.response_ids))), "train")
    for ours, theirs in zip(found.reasonings, row.encoded.reasonings, strict=True):
        assert (ours.first, ours.second) == (theirs.first, theirs.second) and np.array_equal(ours.ids, theirs.ids)
    assert reader.comparison(0, "train").reasonings == row.comparison.reasonings
    sizes = [len(ids) for ids in found.response_ids]
    assert reasoned_lengths(found) == [sum(sizes) + len(one.ids) for one in found.reasonings]


def test_a_shard_whose_reasonings_are_about_other_answers_is_refused(tokenizer: ChatTokenizer, tmp_path: Path) -> None:
    row, _ = read_back(tokenizer, tmp_path)
    table = read_table(str(tmp_path / "a.arrow"))
    keep = Cut(0, tuple(map(len, row.encoded.response_ids)))
    for pairs in ([0, 1, 5, 0], [0, -1, 1, 0], [0, 1]):
        place = table.schema.get_field_index("reasoning_pairs")
        bent = table.set_column(place, "reasoning_pairs", pa.array([pairs], pa.list_(pa.int32())))
        with pytest.raises(ValueError, match="reasonings are about answers|zip"):
            ShardReader(bent, read_table(str(tmp_path / "a.images.arrow"))).encoded(0, keep, "train")


def test_shards_without_reasonings_are_as_before(tokenizer: ChatTokenizer, tmp_path: Path) -> None:
    row, _ = read_back(tokenizer, tmp_path, EncodeConfig())
    assert row.encoded.reasonings == ()
    assert read_table(str(tmp_path / "a.arrow")).schema == COMPARISON_SCHEMA
    said = portable_config(PreprocessConfig(sources=[replace(SOURCE)]))
    assert "reasonings" not in {**said["encode"], **said["sources"][0]["fields"]}
    assert "missing_reasonings" not in said["sources"][0]


def test_models_read_records_with_and_without_alike() -> None:
    given, none = (
        Reading.of_config(PreprocessConfig(encode=one), "t")
        for one in (EncodeConfig(), EncodeConfig(reasonings="given"))
    )
    assert given.tokens_and_pixels() == none.tokens_and_pixels()


def test_a_record_without_a_reasoning_is_refused_or_kept_and_never_trained_on(tokenizer: ChatTokenizer) -> None:
    three = {
        "prompt": "Which?",
        "responses": [{"text": text, "rank": rank} for text, rank in (("Red.", 0), ("Blue.", 1), ("No.", 1))],
        "reasonings": [{"first": 0, "second": 1, "text": "It is so."}, {"first": 2, "second": 0, "text": " "}],
    }
    for source, refused in ((SOURCE, True), (replace(SOURCE, missing_reasonings="keep"), False)):
        builder = RowBuilder(source, "", PreprocessConfig(encode=GIVEN), Encoder(tokenizer, GIVEN))
        [(_, outcome)] = builder.items(three, 0)
        assert isinstance(outcome, RecordError) == refused
        assert not refused or str(outcome) == "missing_reasoning: responses 0 and 2 of 3"
    asking = Asking(question_tokens(tokenizer, QUESTION, GIVEN), "given")
    with pytest.raises(RunError, match="has no reasoning about its answers 0 and 2.*missing_reasonings=refuse"):
        asking(encoded(tokenizer, **three))


@pytest.mark.parametrize(
    ("reasoning", "message"),
    [
        ({"first": 1, "second": 2, "text": "x"}, "none of responses 1 and 2 is better"),
        ({"first": 0, "second": 1, "text": "So <answer>2"}, "a tag of the verdict stands in 'So <answer>2'"),
    ],
)
def test_a_reasoning_that_could_not_be_learnt_is_refused(
    tokenizer: ChatTokenizer, reasoning: dict[str, object], message: str
) -> None:
    tied = [{"text": text, "rank": rank} for text, rank in (("Red.", 0), ("Blue.", 1), ("No.", 1))]
    with pytest.raises(RecordError, match=f"wrong_reasoning: {message}"):
        encoded(tokenizer, responses=tied, reasonings=[reasoning])


def test_of_the_extremes_their_own_reasonings_stay() -> None:
    ranked = [{"text": f"{rank}", "rank": rank} for rank in (1, 2, 0)]
    said = [{"first": 2, "second": 1, "text": "kept"}, {"first": 0, "second": 1, "text": "gone"}]
    found = extremes(comparison(responses=ranked, reasonings=said))
    assert found.reasonings == (Reasoning(1, 0, "kept"),)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"encode": replace(GIVEN, critiques="given")}, "is for critics"),
        ({"rules": RulesConfig(truncate="responses")}, "would cut answers"),
        ({"group_prompts": True}, "makes equal answers one"),
    ],
)
def test_settings_that_would_lose_reasonings_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        check_config(replace(PreprocessConfig(sources=[SOURCE], encode=GIVEN), **changes))
