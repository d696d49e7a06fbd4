"""Critiques behind the answers: their tokens, their way through shards, and records that lack one."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from data_pipeline.config import EncodeConfig, PreprocessConfig, RulesConfig, SourceConfig
from data_pipeline.dataset.shard_reader import ShardReader
from data_pipeline.dataset.shards import COMPARISON_SCHEMA, ShardRow, read_table, write_shard
from data_pipeline.encoding.encoder import EncodedComparison, Encoder
from data_pipeline.encoding.tokenizer import ChatTokenizer, load_tokenizer, train_tokenizer
from data_pipeline.encoding.truncate import Cut
from data_pipeline.errors import RecipeError, RecordError
from data_pipeline.records.comparison import Comparison, Response, Turn
from data_pipeline.sources.registry import adapter_of, unranked_adapter
from data_pipeline.transform.planning import check_config, portable_config
from data_pipeline.transform.row_builder import RowBuilder

GIVEN = EncodeConfig(critiques="given", critique_prompt="Judge it.")
PAIR = {"prompt": "Which?", "chosen": "Red.", "rejected": "Blue.", "chosen_critique": "It is.", "rejected_critique": ""}
LIST = {
    "prompt": "Which?",
    "responses": [{"text": "Red.", "score": 2, "critique": "Yes."}, {"text": "Blue.", "score": 1}],
}
SOURCE = SourceConfig(name="mine", path="mine.jsonl")


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> ChatTokenizer:
    path = str(tmp_path_factory.mktemp("model"))
    train_tokenizer(["Which? Red. Blue. It is. Judge it.\n\n"], 320, path)
    return load_tokenizer(path)


def comparison(*critiques: str | None) -> Comparison:
    responses = tuple(Response((f"Answer {k}.",), k, critique=one) for k, one in enumerate(critiques))
    return Comparison(id="x", source="mine", prompt=(Turn("user", ("Which?",)),), responses=responses)


def encoded(tokenizer: ChatTokenizer, config: EncodeConfig, *critiques: str | None) -> EncodedComparison:
    return Encoder(tokenizer, config).encode(comparison(*critiques), [])


def test_a_critique_follows_its_answer_as_a_turn_of_its_own(tokenizer: ChatTokenizer) -> None:
    item = encoded(tokenizer, GIVEN, "It is.", " \n Not it.\n")
    asked = "<|im_end|>\n<|im_start|>user\nJudge it.<|im_end|>\n<|im_start|>assistant\n"
    texts = [tokenizer.decode(ids) for ids in item.response_ids]
    assert texts == [f"Answer 0.{asked}It is.<|im_end|>", f"Answer 1.{asked}Not it.<|im_end|>"]
    written = [ids[start:] for ids, start in zip(item.response_ids, item.target_starts, strict=True)]
    assert [tokenizer.decode(ids) for ids in written] == ["It is.<|im_end|>", "Not it.<|im_end|>"]
    assert np.array_equal(written[0], Encoder(tokenizer, GIVEN).critique_ids("It is."))


def test_without_a_critique_the_branch_ends_where_the_model_would_write_it(tokenizer: ChatTokenizer) -> None:
    whole, open_ = encoded(tokenizer, GIVEN, "It is.", "It is."), encoded(tokenizer, GIVEN, None, " ")
    assert [len(ids) for ids in open_.response_ids] == list(open_.target_starts) == list(whole.target_starts)
    for ours, theirs, start in zip(open_.response_ids, whole.response_ids, whole.target_starts, strict=True):
        assert np.array_equal(ours, theirs[:start])


def test_other_models_do_not_read_critiques(tokenizer: ChatTokenizer) -> None:
    with_them, without = (encoded(tokenizer, EncodeConfig(), one, None) for one in ("It is.", None))
    assert with_them.target_starts == ()
    assert all(np.array_equal(a, b) for a, b in zip(with_them.response_ids, without.response_ids, strict=True))


def row_of(tokenizer: ChatTokenizer, config: EncodeConfig, *critiques: str | None) -> ShardRow:
    made = comparison(*critiques)
    item, segments = Encoder(tokenizer, config).encode_segments(made, [])
    return ShardRow(made, item, segments, "key")


def test_shards_carry_critiques_and_where_they_begin(tokenizer: ChatTokenizer, tmp_path: Path) -> None:
    row = row_of(tokenizer, GIVEN, "It is.", None)
    info, _ = write_shard(str(tmp_path), "a", [row])
    tables = [read_table(str(tmp_path / name), sha256) for name, sha256 in (
        ("a.arrow", info.sha256), ("a.images.arrow", info.images_sha256)
    )]  # fmt: skip
    reader = ShardReader(*tables)
    found = reader.encoded(0, Cut(0, tuple(len(ids) for ids in row.encoded.response_ids)), "train")
    assert found.target_starts == row.encoded.target_starts and len(found.response_ids[0]) > found.target_starts[0]
    assert [response.critique for response in reader.comparison(0, "train").responses] == ["It is.", None]


def test_a_shard_whose_critiques_begin_elsewhere_is_refused(tokenizer: ChatTokenizer, tmp_path: Path) -> None:
    row = row_of(tokenizer, GIVEN, "It is.", "Not it.")
    write_shard(str(tmp_path), "a", [row])
    table = read_table(str(tmp_path / "a.arrow"))
    place = table.schema.get_field_index("target_starts")
    keep = Cut(0, tuple(len(ids) for ids in row.encoded.response_ids))
    for starts in ([-1, 3], [3, 999], [3]):
        bent = table.set_column(place, "target_starts", pa.array([starts], pa.list_(pa.int32())))
        with pytest.raises(ValueError, match="critiques begin at|zip"):
            ShardReader(bent, read_table(str(tmp_path / "a.images.arrow"))).encoded(0, keep, "train")


def test_shards_without_critiques_are_as_before(tokenizer: ChatTokenizer, tmp_path: Path) -> None:
    infos = [
        write_shard(str(tmp_path), name, [row_of(tokenizer, EncodeConfig(), *critiques)])[0]
        for name, critiques in (("a", (None, None)), ("b", ("It is.", "Not it.")))
    ]
    assert infos[0].sha256 == infos[1].sha256
    assert read_table(str(tmp_path / "a.arrow")).schema == COMPARISON_SCHEMA


def test_records_bring_their_critiques() -> None:
    read = adapter_of("jsonl")
    assert [one.critique for one in read(PAIR, SOURCE, 0).responses] == ["It is.", ""]
    assert [one.critique for one in read(LIST, SOURCE, 0).responses] == ["Yes.", None]
    unranked = unranked_adapter(SOURCE.fields)
    assert [one.critique for one in unranked(PAIR, SOURCE, 0).responses] == ["It is.", ""]
    assert [one.critique for one in unranked(LIST, SOURCE, 0).responses] == ["Yes.", None]
    with pytest.raises(RecordError, match="chosen_critique in row 3: expected a string, got int 7"):
        read({**PAIR, "chosen_critique": 7}, SOURCE, 3)
    reasons = {"id": "1", "image": "a.png", "prompt": "<image>Which?", "chosen": "A", "rejected": "B"}
    made = adapter_of("mm_rlhf")({**reasons, "chosen_reason": "Good.", "rejected_reason": "Bad."}, SOURCE, 0)
    assert [one.critique for one in made.responses] == ["Good.", "Bad."]


def test_a_record_without_a_critique_is_refused_or_kept(tokenizer: ChatTokenizer) -> None:
    for config, source, refused in (
        (GIVEN, SOURCE, True),
        (GIVEN, replace(SOURCE, missing_critiques="keep"), False),
        (EncodeConfig(), SOURCE, False),
    ):
        builder = RowBuilder(source, "", PreprocessConfig(encode=config), Encoder(tokenizer, config))
        [(_, outcome)] = builder.items(PAIR, 0)
        assert isinstance(outcome, RecordError) == refused
        assert not refused or str(outcome) == "missing_critique: response 1 of 2"


def test_addresses_stay_where_nobody_reads_critiques() -> None:
    said = portable_config(PreprocessConfig(sources=[replace(SOURCE)]))
    assert not {"critiques", "critique_prompt"} & said["encode"].keys()
    assert not {"critique", "chosen_critique", "rejected_critique"} & said["sources"][0]["fields"].keys()
    assert "missing_critiques" not in said["sources"][0]
    said = portable_config(PreprocessConfig(sources=[replace(SOURCE, missing_critiques="keep")], encode=GIVEN))
    assert (said["encode"]["critiques"], said["encode"]["critique_prompt"]) == ("given", "Judge it.")
    assert said["sources"][0]["missing_critiques"] == "keep"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"encode": EncodeConfig(critique_prompt="Judge it.")}, r"critique_prompt is read where critiques are"),
        ({"encode": replace(GIVEN, answer_end="line_break")}, r"set answer_end=end_of_turn"),
        ({"encode": GIVEN, "rules": RulesConfig(truncate="responses")}, r"would cut critiques off"),
        ({"encode": GIVEN, "group_prompts": True}, r"whose critiques may differ"),
    ],
)
def test_settings_that_would_lose_critiques_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        check_config(replace(PreprocessConfig(sources=[SOURCE]), **changes))  # type: ignore[arg-type]
