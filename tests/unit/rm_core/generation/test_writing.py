"""Critiques that a critic writes: the likeliest tokens are those of plain forward passes, samples repeat by seed."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from critic_toys import ENCODE, write_critic
from prepared_toys import scene

from data_pipeline.config import MediaConfig
from data_pipeline.encoding.encoder import EncodedComparison, Encoder
from data_pipeline.encoding.tokenizer import ChatTokenizer, load_tokenizer, train_tokenizer
from data_pipeline.errors import RecipeError
from data_pipeline.media import load_image
from data_pipeline.records.comparison import Comparison, ImageSlot, MediaRef, Response, Turn
from rm_core.batches.packed import collate
from rm_core.generation.config import CritiquesConfig, VerdictsConfig, check_critiques_config
from rm_core.generation.interface import opened
from rm_core.generation.transformers_writer import TransformersWriter
from rm_core.model.reward_model import RewardModel
from rm_core.packing.plan import PackBudget
from rm_core.scoring.choose import scorer_of
from rm_core.scoring.critic import CriticScorer
from rm_core.scoring.scorer import Scorer

BUDGET = PackBudget(tokens=2048, patches=2048)
GREEDY = CritiquesConfig(source="written", temperature=0.0, max_tokens=6)
SAMPLED = CritiquesConfig(source="written", number=3, max_tokens=6)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A critic with random weights."""
    base = tmp_path_factory.mktemp("critic")
    train_tokenizer(["What is to be seen? It is so. Judge it."], 320, str(base / "tokenizer"))
    write_critic(base / "model", base / "tokenizer")
    return base / "model"


@pytest.fixture(scope="module")
def tokenizer(folder: Path) -> ChatTokenizer:
    return load_tokenizer(str(folder))


def item_of(tokenizer: ChatTokenizer, *critiques: str | None, images: int = 1) -> EncodedComparison:
    made = Comparison(
        id="x", source="s", prompt=(Turn("user", (*map(ImageSlot, range(images)), "What is to be seen?")),),
        responses=tuple(Response((f"Answer {'so ' * k}.",), 0, critique=one) for k, one in enumerate(critiques)),
        media=tuple(MediaRef(data=scene(seed)) for seed in range(images)),
    )  # fmt: skip
    return Encoder(tokenizer, ENCODE).encode(made, [load_image(ref, "", MediaConfig()) for ref in made.media])


@pytest.mark.parametrize("images", [0, 1])
def test_the_likeliest_critique_is_that_of_plain_forward_passes(
    folder: Path, tokenizer: ChatTokenizer, images: int
) -> None:
    model = Scorer(str(folder), BUDGET).model
    item = opened(item_of(tokenizer, None, None, images=images))
    writer = TransformersWriter(model, tokenizer, GREEDY)
    texts = writer.write(item)
    assert [len(of_branch) for of_branch in texts] == [1, 1]
    for place, (ids, [one]) in enumerate(zip(writer.tokens(item), texts, strict=True)):
        ids = ids[: one.tokens]
        grown = replace(
            item,
            response_ids=tuple(
                np.concatenate([part, np.array(ids, dtype=np.int32)]) if at == place else part
                for at, part in enumerate(item.response_ids)
            ),
        )
        likely = likeliest(model, grown, place, tokenizer)
        assert likely == ids, f"branch {place}"


def likeliest(model: RewardModel, item: EncodedComparison, place: int, tokenizer: ChatTokenizer) -> list[int]:
    """The likeliest allowed token at each place of a branch's critique, through the packed row."""
    row = collate([item], row_format=model.row_format)
    assert row.targets is not None
    mine = row.targets.owner == place
    special = set(tokenizer.special_ids.values()) - {tokenizer.special_ids["<|im_end|>"]}
    allowed = [token for token in range(tokenizer.vocab_size) if token not in special]
    found = []
    for index in row.targets.index[mine].tolist():
        count = len(allowed)
        asked = replace(
            row.targets,
            index=torch.full((count,), index), ids=torch.tensor(allowed),
            owner=torch.zeros(count, dtype=torch.int64),
        )  # fmt: skip
        with torch.inference_mode():
            costs = model(replace(row, targets=asked)).costs
        found.append(allowed[int(costs.argmin())])
    return found


def test_what_is_written_depends_on_the_comparison_and_the_seed_alone(folder: Path, tokenizer: ChatTokenizer) -> None:
    model = Scorer(str(folder), BUDGET).model
    first, second = item_of(tokenizer, None, None), item_of(tokenizer, None, None, None, images=0)
    writer = TransformersWriter(model, tokenizer, SAMPLED)
    torch.manual_seed(5)
    state = torch.get_rng_state()
    one, other = writer.write(first), writer.write(second)
    assert torch.equal(torch.get_rng_state(), state), "nobody else's random numbers are touched"
    assert [len(texts) for texts in other] == [3, 3, 3]
    assert (writer.write(second), writer.write(first)) == (other, one)
    assert TransformersWriter(model, tokenizer, replace(SAMPLED, seed=1)).write(first) != one
    assert all(text.tokens <= 6 and (text.ended or text.tokens == 6) for texts in one for text in texts)
    assert not any(name in text.text for texts in other for text in texts for name in tokenizer.special_ids)


def test_a_reward_is_the_mean_over_critiques_and_each_is_that_of_the_text_as_given(
    folder: Path, tokenizer: ChatTokenizer
) -> None:
    critic = CriticScorer(str(folder), BUDGET, SAMPLED)
    item = item_of(tokenizer, None, "This one is given, and not read.")
    found = critic.made(item)
    assert [len(texts) for texts in found.critiques] == [3, 3] and found.tokens >= 6 and found.seconds > 0
    scorer = Scorer(str(folder), BUDGET)
    given = [scorer.score([item_of(tokenizer, *texts)])[0] for texts in zip(*found.critiques, strict=True)]
    assert found.rewards == pytest.approx(np.mean(given, axis=0), abs=1e-5)
    assert critic.score([item]) == [found.rewards] != critic.score([item], blank=True)


def test_what_reads_critiques_is_not_given_other_responses(folder: Path, tokenizer: ChatTokenizer) -> None:
    scorer = scorer_of(str(folder), BUDGET, CritiquesConfig(), VerdictsConfig())
    assert isinstance(scorer, Scorer)
    with pytest.raises(RecipeError, match=r"'x' has a response without a critique.*critiques\.source=written"):
        scorer.score([item_of(tokenizer, "It is so.", None)])


def test_the_same_critique_several_times_is_refused() -> None:
    for config in (SAMPLED, replace(SAMPLED, source="given", temperature=0.0)):
        check_critiques_config(config, "score.critiques")
    with pytest.raises(RecipeError, match=r"writes score\.critiques\.number=2 times the same"):
        check_critiques_config(replace(GREEDY, number=2), "score.critiques")
