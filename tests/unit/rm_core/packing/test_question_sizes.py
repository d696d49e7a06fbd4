"""Sizes of questions from the tables of prepared data are those of the questions themselves."""

from dataclasses import fields, replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from grouped_toys import pairs_of_prompts
from prepared_toys import ToyData, mixed_toy, write_toy

from data_pipeline.config import EncodeConfig, PreprocessConfig
from data_pipeline.dataset.prepared import PreparedData
from data_pipeline.encoding.questions import Asking, question_tokens
from data_pipeline.encoding.tokenizer import load_tokenizer
from data_pipeline.errors import RecipeError
from data_pipeline.pipeline import prepare
from data_pipeline.records.comparison import Reasoning
from rm_core.packing.epoch import epoch_table, training_view
from rm_core.packing.row_sizes import CostModel
from rm_core.packing.sizes import PlanningTable

COST = CostModel(token=7.0, response=100.0, attention_pair=3.0, patch=11.0, patch_pair=5.0)
ORDERS = ("both", "one", "all")
QUESTION = "Better?\n{first}\nor\n{second}\n?"


@pytest.fixture(scope="module")
def preprocess(tmp_path_factory: pytest.TempPathFactory) -> PreprocessConfig:
    return pairs_of_prompts(tmp_path_factory.mktemp("pairs"))


def test_reasonings(tmp_path: Path) -> None:
    rows = []
    for place, row in enumerate(mixed_toy(12).rows):
        ranks = [response.rank for response in row.comparison.responses]
        pairs = [pair for pair in combinations(range(len(ranks)), 2) if ranks[pair[0]] != ranks[pair[1]]]
        said = tuple(Reasoning(*pair[:: -1 if place % 2 else 1], "It is so. " * (1 + place % 3)) for pair in pairs)
        rows.append(replace(row, comparison=replace(row.comparison, reasonings=said), cut_to=None))
    config = PreprocessConfig(encode=EncodeConfig(reasonings="given"))
    folder = write_toy(tmp_path / "data", ToyData(rows=rows, config=config))
    check(PreparedData.open(folder), str(tmp_path / "toy-model"), "given")
    without = PreparedData.open(write_toy(tmp_path / "without", mixed_toy(4)))
    with pytest.raises(RecipeError, match="were prepared without: .*preprocess.encode.reasonings=given"):
        check(without, str(tmp_path / "toy-model"), "given")


def check(data: PreparedData, tokenizer: str, orders: str) -> None:
    asking = Asking(question_tokens(load_tokenizer(tokenizer), QUESTION, EncodeConfig()), orders)
    table = epoch_table(data, COST, asking)
    view = training_view(data, asking)
    expected = PlanningTable.from_comparisons([view.encoded(int(index)) for index in table.index], COST)
    for column in ("num_tokens", "num_patches", "num_pairs", "num_responses", "cost"):
        np.testing.assert_allclose(getattr(table, column), getattr(expected, column), rtol=1e-6, err_msg=column)
    assert (table.judged is None) == (data.groups is None)
    if table.judged is not None and expected.judged is not None:
        for field in fields(table.judged):
            assert (getattr(table.judged, field.name) == getattr(expected.judged, field.name)).all()


@pytest.mark.parametrize("orders", ORDERS)
@pytest.mark.parametrize("grouped", [False, True])
def test_pairs(preprocess: PreprocessConfig, grouped: bool, orders: str) -> None:
    if grouped and orders == "all":
        pytest.skip("only Comparisons of one record are scored")
    config = replace(preprocess, group_prompts=grouped)
    prepare(config)
    check(PreparedData.open(config.output), preprocess.tokenizer, orders)


@pytest.mark.parametrize("orders", ORDERS)
def test_ties_cuts_and_many_answers(tmp_path: Path, orders: str) -> None:
    folder = write_toy(tmp_path / "data", mixed_toy())
    check(PreparedData.open(folder), str(tmp_path / "toy-model"), orders)
