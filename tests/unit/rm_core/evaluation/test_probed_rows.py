"""What a probe gives the model to read: the same words in another form, other pictures of the same size."""

from pathlib import Path

import numpy as np
import pytest
from prepared_toys import ToyData, ToyRow, toy_comparison, write_toy

from data_pipeline.dataset.prepared import PreparedData
from data_pipeline.encoding.tokenizer import load_tokenizer
from data_pipeline.errors import RecordError
from rm_core.evaluation.diagnostics.pictures import donors
from rm_core.evaluation.diagnostics.rows import ProbedRows, changed_responses
from rm_core.evaluation.diagnostics.texts import IRRELEVANT, POLITE, changed_text, without_markdown
from rm_core.evaluation.names import PICTURE_PROBES, TEXT_PROBES

MARKDOWN = """# Title
- a *red* bus
  - **see** [here](http://a.b), `code_name`
1. one
> quoted
---
```python
x = a * b * c
```
2 * 3 * 4 and snake_case_name"""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> PreparedData:
    rows = [ToyRow(comparison=toy_comparison(place, images=place % 3, ranks=(1, 0, 2))) for place in range(6)]
    rows.append(ToyRow(comparison=toy_comparison(6), cut_to=5))
    return PreparedData.open(write_toy(tmp_path_factory.mktemp("toy") / "shards", ToyData(rows=rows)))


@pytest.fixture(scope="module")
def reader(data: PreparedData) -> ProbedRows:
    return ProbedRows(data, load_tokenizer(str(Path(data.folder).parent / "toy-model")), 4096)


def test_markdown_goes_and_words_stay() -> None:
    plain = "Title\na red bus\n  see here, code_name\n1. one\nquoted\nx = a * b * c\n2 * 3 * 4 and snake_case_name"
    assert without_markdown(MARKDOWN) == plain
    assert without_markdown(plain) == plain
    for hostile in ("*", "[", "_", "`", "- ", "*a ", "`a", "[a](", "# "):
        assert len(without_markdown(hostile * 20_000)) <= 20_000 * len(hostile)


def test_texts_change_where_they_should() -> None:
    comparison = toy_comparison(1, images=1, ranks=(1, 0), answers=["**A**", "B"])
    polite = changed_text(comparison, "polite_sentence")
    assert [one.text for one in polite.responses] == [f"**A**{POLITE}", f"B{POLITE}"]
    assert changed_text(comparison, "irrelevant_sentence").prompt[-1].parts[-1] == IRRELEVANT
    stripped = changed_text(comparison, "markdown_stripped")
    assert changed_responses(comparison, stripped, "markdown_stripped") == (True, False)
    assert [one.rank for one in changed_text(comparison, "reversed_answers").responses] == [0, 1]


@pytest.mark.parametrize("probe", TEXT_PROBES)
def test_only_what_a_text_probe_names_is_encoded_anew(probe: str, data: PreparedData, reader: ProbedRows) -> None:
    before, (after, changed) = data.encoded(5), reader.row(5, probe, None)
    is_prompt = probe == "irrelevant_sentence"
    if not is_prompt:
        assert np.array_equal(before.prefix_ids, after.prefix_ids)
    else:
        assert len(after.prefix_ids) > len(before.prefix_ids)
    assert [(one.key, one.grid) for one in after.images] == [(one.key, one.grid) for one in before.images]
    order = slice(None, None, -1 if probe == "reversed_answers" else 1)
    same = [np.array_equal(a, b) for a, b in zip(before.response_ids, after.response_ids[order], strict=True)]
    assert same == [probe not in ("trailing_spaces", "polite_sentence")] * 3
    assert changed == {"trailing_spaces": (True,) * 3, "polite_sentence": (True,) * 3,
                       "markdown_stripped": (False,) * 3}.get(probe, ())  # fmt: skip


@pytest.mark.parametrize("probe", PICTURE_PROBES)
def test_only_files_of_pictures_change(probe: str, data: PreparedData, reader: ProbedRows) -> None:
    others = reader.donors_of(range(6))
    before, (after, _) = data.encoded(2), reader.row(2, probe, others[2])
    assert np.array_equal(before.prefix_ids, after.prefix_ids)
    assert [ids.tolist() for ids in after.response_ids] == [ids.tolist() for ids in before.response_ids]
    assert [one.grid for one in after.images] == [one.grid for one in before.images]
    keys = {one.key for one in before.images}
    assert keys.isdisjoint(one.key for one in after.images)
    assert [one.data for one in after.pictures] == [one.data for one in reader.row(2, probe, others[2])[0].pictures]
    with pytest.raises(RecordError, match="no_picture"):
        reader.row(0, probe, others.get(0))


def test_what_can_not_be_changed_says_why(reader: ProbedRows) -> None:
    with pytest.raises(RecordError, match="cut: "):
        reader.row(6, "polite_sentence", None)
    with pytest.raises(RecordError, match="no_other_picture"):
        reader.row(1, "shuffled_images", None)


def test_a_long_change_has_to_fit(data: PreparedData) -> None:
    tokenizer = load_tokenizer(str(Path(data.folder).parent / "toy-model"))
    tight = ProbedRows(data, tokenizer, data.encoded(3).num_tokens)
    assert tight.row(3, "reversed_answers", None)
    with pytest.raises(RecordError, match="too_long"):
        tight.row(3, "polite_sentence", None)


def test_pictures_come_from_another_with_none_of_the_same() -> None:
    keys = [frozenset("a"), frozenset(), frozenset("ab"), frozenset("c"), frozenset("a")]
    found = donors(["0", "1", "2", "3", "4"], keys)
    assert found[1] is None
    assert [found[place] for place in (0, 2, 4)] == [3, 3, 3]  # all others show a
    assert found[3] in (0, 2, 4)
    assert donors(["0", "1"], [frozenset("a"), frozenset("a")]) == [None, None]
