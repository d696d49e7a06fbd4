"""An exported reward model as a function: Comparisons -> rewards, by the packed path that trained it."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Protocol

import torch
from torch import Tensor

from data_pipeline.dataset.prepared import PreparedData
from data_pipeline.encoding.encoded import spans_of_parts
from data_pipeline.encoding.encoder import EncodedComparison
from data_pipeline.encoding.questions import Asking, question_tokens
from data_pipeline.encoding.tokenizer import load_tokenizer
from data_pipeline.errors import RecipeError
from rm_core.batches.packed import collate
from rm_core.batches.pixels import patches_of
from rm_core.model.attention import RowPrefixes
from rm_core.model.flops import cost_model
from rm_core.model.reward_model import Output
from rm_core.model_folder.folder import load_reward_model
from rm_core.model_folder.paradigm import question_of, reasons
from rm_core.model_folder.reading import reading_of
from rm_core.model_folder.remote import local_model
from rm_core.objectives.pairwise import means
from rm_core.packing.plan import PackBudget, pack_first_fit
from rm_core.packing.sizes import PlanningTable
from rm_core.scoring.alike import first_alike
from rm_core.scoring.prefix_cache import PrefixCache, PrefixKey, prefix_key
from rm_core.scoring.scored import ScoredComparison

__all__ = ["Scorer", "Scores", "asking_in", "check_answers", "score_rows", "scored_item"]
_CHUNK = 64
"""Comparisons in memory at once; packing works inside a chunk."""


class Scorer:
    """Scores Comparisons with the reward model of a folder, on a GPU where there is one.

    A reward depends on its own Comparison only: not on what else is asked, the order, or the budgets (float32 sums
    differ in their last bits).

    Args:
        folder: an exported reward model.
        budget: what one packed row may hold.
        attention: the kernel by name; "auto" takes flex on a GPU and sdpa elsewhere.

    Raises:
        MissingInput, CorruptData: as `load_reward_model`.
        RecipeError: this machine cannot run that kernel, or the model writes before it scores.
    """

    def __init__(self, folder: str, budget: PackBudget, *, attention: str = "auto") -> None:
        if reasons(local_model(folder)):
            raise RecipeError(
                f"{folder!r} is a judge that reasons, and writes before it gives a verdict: `basereward evaluate`, "
                "`score`, `serve`, ensembles and mlflow.pyfunc have it write; here take a model of another paradigm, "
                "or of form short"
            )
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        dtype = torch.bfloat16 if self._device.type == "cuda" else torch.float32
        self.model = load_reward_model(folder, dtype=dtype).to(self._device)
        self.model.use_attention(attention, key="attention")
        self.model.run_alone()
        self._row_format = replace(self.model.row_format, targets=self.model.judges)
        self._asking = asking_in(folder) if self.model.judges else None
        self._budget = budget
        self._prefixes: PrefixCache | None = None
        self._name = ""

    def use_prefixes(self, prefixes: PrefixCache, name: str) -> None:
        """Find prefixes again that earlier calls have computed, in place of computing them in each call.

        Args:
            name: of this model, among those that share the cache.
        """
        self._prefixes, self._name = prefixes, name

    def score(self, comparisons: Sequence[EncodedComparison], *, blank: bool = False) -> list[tuple[float, ...]]:
        """K rewards for each Comparison, in the given order.

        Args:
            blank: replace every image by a mid-grey one of its size; answers that are alike then have one reward.

        Raises:
            RecipeError: a Comparison alone exceeds the budget; of a critic, a response has no critique; or of a
                judge, there is one response alone.
        """
        answers = comparisons
        comparisons = [self.asked(item) for item in comparisons]
        if self._asking is None and self.model.lm_head is not None:
            _check_critiques(comparisons)
        rewards: list[tuple[float, ...]] = [()] * len(comparisons)
        for indices in self._packs(comparisons):
            scored = self._scored([comparisons[index] for index in indices], blank)
            for index, part in zip(indices, scored, strict=True):
                own = tuple(float(reward) for reward in part)
                alike = first_alike(answers[index], self._row_format) if blank else range(len(own))
                rewards[index] = tuple(own[k] for k in alike)
        return rewards

    def _scored(self, items: Sequence[EncodedComparison], blank: bool) -> tuple[Tensor, ...]:
        """Rewards [K] of each Comparison of one row."""
        cache = None if blank else self._prefixes
        keys = [] if cache is None else [(self._name, *self._prefix_key(item)) for item in items]
        prefixes = RowPrefixes() if cache is None else cache.find(keys)
        batch = collate(
            items, row_format=self._row_format, load_image=partial(patches_of, blank=blank), known=prefixes.known
        )
        with torch.inference_mode():
            output = self.model(batch.to(self._device), prefixes)
            scored = means(output.rewards if isinstance(output, Output) else output).cpu()
            if cache is not None:
                cache.keep(keys, prefixes)
        return torch.split(scored, list(batch.num_responses))

    def _prefix_key(self, item: EncodedComparison) -> PrefixKey:
        pads = (self._row_format.image_token, self._row_format.video_token)
        return prefix_key(item, spans_of_parts(item, pads)[0])

    def asked(self, item: EncodedComparison) -> EncodedComparison:
        """The Comparison as the model reads it: by a judge, as questions about every pair in both orders.

        Raises:
            RecipeError: of a judge, there is one response alone.
        """
        return item if self._asking is None else _asked(self._asking, item)

    def _packs(self, comparisons: Sequence[EncodedComparison]) -> Iterator[tuple[int, ...]]:
        if not comparisons:
            return
        table = PlanningTable.from_comparisons(comparisons, cost_model(self.model.backbone.config))
        table.check_fits(tokens=self._budget.tokens, patches=self._budget.patches)
        for pack in pack_first_fit(range(len(comparisons)), table, self._budget):
            yield pack.rows


def asking_in(folder: str) -> Asking:
    """The judge's question, about every pair in both orders."""
    copy = local_model(folder)
    reading = reading_of(copy)
    assert reading is not None, "a judge's folder says how it reads records"
    return Asking(question_tokens(load_tokenizer(copy), question_of(copy), reading.encode), "all")


def _asked(asking: Asking, item: EncodedComparison) -> EncodedComparison:
    """The Comparison as questions, of which there has to be one."""
    check_answers(item)
    return asking(item)


def check_answers(item: EncodedComparison) -> None:
    """Refuse what a judge cannot be asked about.

    Raises:
        RecipeError: there is one response alone.
    """
    if len(item.response_ids) < 2:
        raise RecipeError(
            f"Comparison {item.id!r} has one response, and a generative reward model compares two: give another one, "
            "or score with a scalar reward model"
        )


def _check_critiques(comparisons: Sequence[EncodedComparison]) -> None:
    for item in comparisons:
        starts = item.target_starts or tuple(map(len, item.response_ids))
        if any(start == len(ids) for start, ids in zip(starts, item.response_ids, strict=True)):
            raise RecipeError(
                f"Comparison {item.id!r} has a response without a critique, which this critic reads: give one for each "
                "response, or have the model write them with critiques.source=written"
            )


class Scores(Protocol):
    """Anything that gives rewards, as `Scorer` does."""

    def score(self, comparisons: Sequence[EncodedComparison], *, blank: bool = False) -> list[tuple[float, ...]]:
        """K rewards for each Comparison, in the given order."""
        ...


def score_rows(
    scorer: Scores, data: PreparedData, rows: Sequence[int], *, blank_images: bool
) -> Iterator[list[ScoredComparison]]:
    """Score rows of prepared data, a chunk at a time.

    Args:
        rows: rows of `data`, in any order; results come in the same order.
        blank_images: also score the Comparisons that have images with their images blanked out.

    Which group a Comparison belongs to is for the caller to say, who sees all of them.
    """
    for start in range(0, len(rows), _CHUNK):
        items = [data.encoded(row) for row in rows[start : start + _CHUNK]]
        rewards = scorer.score(items)
        with_images = [item for item in items if item.images] if blank_images else []
        blank = iter(scorer.score(with_images, blank=True))
        yield [
            scored_item(item, own, next(blank) if blank_images and item.images else None)
            for item, own in zip(items, rewards, strict=True)
        ]


def scored_item(
    item: EncodedComparison, rewards: tuple[float, ...], blank_rewards: tuple[float, ...] | None
) -> ScoredComparison:
    """The Comparison's labels beside its rewards; lengths are those of answers, without what a critic writes."""
    return ScoredComparison(
        id=item.id,
        source=item.source,
        rewards=rewards,
        ranks=item.ranks,
        response_lengths=item.target_starts or tuple(len(ids) for ids in item.response_ids),
        num_images=len(item.images),
        blank_rewards=blank_rewards,
    )
