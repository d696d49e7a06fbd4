import json
from dataclasses import replace
from pathlib import Path

import pytest
from rl_toys import TEXTS, read, write_prompts

from data_pipeline.config import SourceConfig
from data_pipeline.encoding.tokenizer import train_tokenizer
from data_pipeline.errors import MissingInput
from rm_core.rl.datasets import asked, taught
from rm_core.rl.prompts import as_texts, is_heldout


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("tokens")
    train_tokenizer(TEXTS, 300, str(folder))
    return str(folder)


def test_questions_are_read_with_pictures_at_their_places(tmp_path: Path, tokens: str) -> None:
    found = read(write_prompts(tmp_path), tokens=tokens)
    assert (found.seen, len(found.prompts), found.duplicates, dict(found.refused)) == (6, 6, 0, {})
    first, second = found.prompts[:2]
    assert first.turns == [{"role": "user", "content": [{"type": "text", "text": "Which colour is number 0?"}]}]
    assert [part["type"] for part in second.turns[0]["content"]] == ["image", "text"]
    assert second.images == ((tmp_path / "1.png").read_bytes(),)
    assert (first.answers, second.answers) == (("red",), ("blue",))


def test_the_best_of_ranked_responses_is_the_right_answer(tmp_path: Path, tokens: str) -> None:
    line = {"prompt": "?", "responses": [{"text": "bad", "score": 1}, {"text": "good", "score": 2}]}
    (tmp_path / "a.jsonl").write_text(json.dumps(line))
    [only] = read(SourceConfig(name="a", path=str(tmp_path / "a.jsonl")), tokens=tokens).prompts
    assert only.answers == ("good", "bad")


def test_counts_add_up_whatever_the_records_are(tmp_path: Path, tokens: str) -> None:
    write_prompts(tmp_path)
    lines = (tmp_path / "prompts.jsonl").read_text().splitlines()
    bad = ['{"prompt": "?"}', "no json", '{"prompt": "", "answer": "a"}', '{"prompt": "<image>?", "answer": "a"}']
    bad += ['{"prompt": "?", "answer": "a", "image": "none.png"}', '{"prompt": "?", "answer": ["a"]}']
    bad += [json.dumps({"prompt": "long " * 600, "answer": "a"}), lines[0]]
    source = SourceConfig(name="toy", shape="answered", path=str(tmp_path / "prompts.jsonl"))
    (tmp_path / "prompts.jsonl").write_text("\n".join([*lines, *bad]))
    found = read(source, tokens=tokens)
    assert len(found.prompts) + found.duplicates + sum(found.refused.values()) == found.seen == 14
    assert found.duplicates == 1
    assert {"missing_field", "malformed_record", "empty_prompt", "missing_media", "too_long"} <= set(found.refused)


def test_the_limit_of_a_source_is_its_own(tmp_path: Path, tokens: str) -> None:
    first = replace(write_prompts(tmp_path / "a"), limit=2)
    (tmp_path / "b.jsonl").write_text('{"prompt": "Which one?", "answer": "this"}')
    second = SourceConfig(name="b", shape="answered", path=str(tmp_path / "b.jsonl"))
    assert [one.answers[0] for one in read(first, second, tokens=tokens).prompts] == ["red", "blue", "this"]


def test_a_policy_that_reads_text_alone_is_shown_no_picture(tmp_path: Path, tokens: str) -> None:
    found = read(write_prompts(tmp_path), tokens=tokens, pictures=False)
    assert len(found.prompts) == 3 and dict(found.refused) == {"no_reader": 3}
    assert as_texts(found.prompts[0].turns) == [{"role": "user", "content": "Which colour is number 0?"}]


def test_nothing_to_ask_is_an_error_that_says_why(tmp_path: Path, tokens: str) -> None:
    (tmp_path / "a.jsonl").write_text('{"prompt": "?"}\n')
    with pytest.raises(MissingInput, match="1 missing_field"):
        read(SourceConfig(name="a", shape="answered", path=str(tmp_path / "a.jsonl")), tokens=tokens)


def test_options_stand_below_the_question(tmp_path: Path, tokens: str) -> None:
    line = {"prompt": "Which?", "answer": 3, "options": ["A) 2", "B) 3"]}
    (tmp_path / "a.jsonl").write_text(json.dumps(line))
    [only] = read(SourceConfig(name="a", shape="answered", path=str(tmp_path / "a.jsonl")), tokens=tokens).prompts
    assert only.turns[0]["content"] == [{"type": "text", "text": "Which?\nA) 2\nB) 3"}]
    assert only.answers == ("3",)


def test_what_is_held_out_is_decided_by_content(tmp_path: Path, tokens: str) -> None:
    found = read(write_prompts(tmp_path, 40), tokens=tokens)
    train, heldout = found.divided(0.25)
    assert len(train) + len(heldout) == 40 and 2 <= len(heldout) <= 20
    assert all(is_heldout(one.key, 0.25) for one in heldout) and found.divided(0.0)[1] == []
    more = read(write_prompts(tmp_path, 60), tokens=tokens).divided(0.25)[1]
    assert {one.key for one in heldout} <= {one.key for one in more}


def test_data_sets_give_pictures_and_the_right_answers(tmp_path: Path, tokens: str) -> None:
    found = read(write_prompts(tmp_path), tokens=tokens).prompts
    rows = asked(found, str(tmp_path / "cache"), pictures=True)
    assert rows["key"][:] == [one.key for one in found]
    assert [part["type"] for part in rows[1]["prompt"][0]["content"]] == ["image", "text"]
    assert [len(images) for images in rows["images"]] == [0, 1] * 3
    texts = asked(found[:1], str(tmp_path / "texts"), pictures=False)
    assert texts[0]["prompt"] == [{"role": "user", "content": "Which colour is number 0?"}]
    pairs = taught(found, str(tmp_path / "taught"), pictures=True, answers="all", seed=1)
    assert sorted(row[0]["content"][0]["text"] for row in pairs["completion"]) == ["blue"] * 3 + ["red"] * 3
