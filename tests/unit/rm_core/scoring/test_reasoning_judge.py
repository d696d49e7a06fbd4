"""Judges that reason: shares of verdicts in both orders, what cannot be read, and whom a tournament asks about."""

from pathlib import Path

import numpy as np
import pytest
from judge_toys import ScriptedWriter, answers, write_judge

from data_pipeline.encoding.judge_format import CLOSING, reasoned
from data_pipeline.encoding.tokenizer import ChatTokenizer, load_tokenizer, train_tokenizer
from data_pipeline.errors import RecipeError
from rm_core.generation.config import CritiquesConfig, VerdictsConfig, check_verdicts_config
from rm_core.model_folder.paradigm import paradigm_of, question_of, reasons
from rm_core.packing.plan import PackBudget
from rm_core.scoring.choose import check_writing, scorer_of, writes
from rm_core.scoring.judge import ReasoningScorer
from rm_core.scoring.scorer import Scorer
from rm_core.scoring.tournament import TournamentScorer

BUDGET = PackBudget(tokens=2048, patches=2048)
LETTERS = ("a", "b", "c", "d", "e")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    base = tmp_path_factory.mktemp("judge")
    train_tokenizer(["Which? a b c d e or 1 2 <think></think><answer>"], 300, str(base / "tokenizer"))
    return write_judge(base / "model", base / "tokenizer")


@pytest.fixture(scope="module")
def tokenizer(folder: str) -> ChatTokenizer:
    return load_tokenizer(folder)


def says(verdict: object, why: str = "so") -> str:
    return f"{reasoned(why)}{verdict}{CLOSING}"


def judge(folder: str, writer: ScriptedWriter | None, **config: object) -> ReasoningScorer:
    return ReasoningScorer(folder, VerdictsConfig(**config), 2048, writer)  # type: ignore[arg-type]


def alphabetical(first: str, second: str) -> list[str]:
    return [says(1 if first < second else 2)]


def test_a_reward_is_the_share_of_verdicts_in_both_orders(folder: str, tokenizer: ChatTokenizer) -> None:
    texts = {("a", "b"): [says(1), says(1), says(2)], ("b", "a"): [says(2), says(1), says("neither")]}
    made = judge(folder, ScriptedWriter(tokenizer, lambda *pair: texts[pair])).made(answers(tokenizer, "a", "b"))
    assert made.rewards is not None and made.error is None
    # Two of three say so in one order, one of two in the other, where the third says nothing.
    assert made.rewards[0] - made.rewards[1] == pytest.approx(2 * (2 / 3 + 1 / 2) / 2 - 1)
    assert sum(made.rewards) == pytest.approx(0)
    assert (made.unread, made.cut, made.tokens) == (1, 0, 6)
    said = {(one["first"], one["second"]): one["said"] for one in made.fields()["verdicts"]}
    assert said == {(0, 1): [1, 1, 2], (1, 0): [2, 1, None]}


@pytest.mark.parametrize(
    "nonsense",
    [
        "",
        "1",
        "Answer 1 is better.",
        says(3),
        says("1 and 2"),
        says(1) + says(2),
        says(1) + "...",
        "<answer>1</answer>",
    ],
)
def test_what_cannot_be_read_is_never_a_verdict(folder: str, tokenizer: ChatTokenizer, nonsense: str) -> None:
    scorer = judge(
        folder, ScriptedWriter(tokenizer, lambda first, _: [nonsense] * 2 if first == "b" else [says(1)] * 2)
    )
    item = answers(tokenizer, "a", "b")
    made = scorer.made(item)
    assert made.rewards is None and made.unread == 2 and made.cut == (2 if nonsense.endswith("...") else 0)
    assert made.error is not None and made.error.startswith("no_verdict: answers 1 and 0 in this order: ")
    assert scorer.score([item]) == [(0.0, 0.0)], "equal rewards are wrong of every pair"


def test_a_place_without_answers_between_tells_nothing(folder: str, tokenizer: ChatTokenizer) -> None:
    always_first = ScriptedWriter(tokenizer, lambda *_: [says(1)])
    assert judge(folder, always_first).score([answers(tokenizer, "a", "b", "c")]) == [(0.0, 0.0, 0.0)]


@pytest.mark.parametrize("pairs", ["all_pairs", "tournament"])
@pytest.mark.parametrize("count", [2, 3, 4, 5])
def test_the_best_answer_wins_from_any_place(folder: str, tokenizer: ChatTokenizer, count: int, pairs: str) -> None:
    for turn in range(count):
        letters = LETTERS[turn:count] + LETTERS[:turn]
        writer = ScriptedWriter(tokenizer, alphabetical)
        [rewards] = judge(folder, writer, pairs=pairs).score([answers(tokenizer, *letters)])
        assert np.argmax(rewards) == letters.index("a") and sum(rewards) == pytest.approx(0)
        met = {frozenset(pair) for pair in writer.asked}
        assert (
            len(writer.asked) == 2 * len(met) == 2 * (count - 1 if pairs == "tournament" else count * (count - 1) // 2)
        )
        if pairs == "all_pairs":
            assert [letters[place] for place in np.argsort(rewards)[::-1]] == list(LETTERS[:count])


def test_a_tournament_ends_where_a_question_has_no_verdict(folder: str, tokenizer: ChatTokenizer) -> None:
    writer = ScriptedWriter(tokenizer, lambda *_: ["so"])
    made = judge(folder, writer, pairs="tournament").made(answers(tokenizer, *LETTERS))
    assert made.rewards is None and len(writer.asked) == 4, "two pairs of the first round, and nobody goes on"


def test_texts_about_two_answers_are_the_same_whatever_is_asked_beside_them(
    folder: str, tokenizer: ChatTokenizer
) -> None:
    def texts(pairs: str, *letters: str) -> dict[tuple[str, str], tuple[str, ...]]:
        made = judge(folder, None, pairs=pairs, number=2, max_tokens=5).made(answers(tokenizer, *letters))
        assert made.tokens >= len(made.questions) * 2 and made.seconds > 0 and made.rewards is None
        return {(letters[one.first], letters[one.second]): one.texts for one in made.questions}

    whole = texts("all_pairs", "a", "b", "c")
    for other in (texts("tournament", "a", "b", "c"), texts("all_pairs", "c", "a"), texts("tournament", "b", "a")):
        assert other.items() <= whole.items()
    assert len(set(whole.values())) > 1


def test_the_folder_says_that_it_writes(folder: str, tmp_path: Path, tokenizer: ChatTokenizer) -> None:
    assert paradigm_of(folder) == "generative" and reasons(folder) and question_of(folder)
    assert writes(folder, CritiquesConfig()) and not writes(str(tmp_path), CritiquesConfig())
    assert isinstance(scorer_of(folder, BUDGET, CritiquesConfig(), VerdictsConfig()), ReasoningScorer)
    short = write_judge(tmp_path / "short", Path(folder).parent / "tokenizer", form="short")
    assert paradigm_of(short) == "generative" and not reasons(short)
    tournament = scorer_of(short, BUDGET, CritiquesConfig(), VerdictsConfig(pairs="tournament"))
    assert isinstance(tournament, TournamentScorer)
    item = answers(tokenizer, "a", "b")
    whole = scorer_of(short, BUDGET, CritiquesConfig(), VerdictsConfig())
    assert tournament.score([item])[0] == pytest.approx(whole.score([item])[0], abs=1e-6)
    with pytest.raises(RecipeError, match="has one response, and a generative reward model compares two"):
        tournament.score([answers(tokenizer, "a")])
    with pytest.raises(RecipeError, match="is a judge that reasons, and writes before it gives a verdict"):
        Scorer(folder, BUDGET)
    with pytest.raises(RecipeError, match="has one response, and a generative reward model compares two"):
        judge(folder, None).made(answers(tokenizer, "a"))


def test_settings_that_the_model_does_not_read_are_refused(folder: str, tmp_path: Path) -> None:
    many = VerdictsConfig(number=3, temperature=0.0)
    with pytest.raises(RecipeError, match=r"score\.verdicts\.number=3 times the same text"):
        check_writing(folder, CritiquesConfig(), many, name="m", section="score")
    with pytest.raises(RecipeError, match=r"score\.verdicts is read where a generative reward model scores"):
        check_writing(str(tmp_path), CritiquesConfig(), many, name="m", section="score")
    with pytest.raises(RecipeError, match=r"leave all but score\.verdicts\.pairs out"):
        check_verdicts_config(many, "score.verdicts", judges=True, reasons=False)
    check_verdicts_config(VerdictsConfig(pairs="tournament"), "score.verdicts", judges=True, reasons=False)
    with pytest.raises(RecipeError, match="'m' is a generative reward model, which writes no critiques"):
        check_writing(folder, CritiquesConfig(source="written"), VerdictsConfig(), name="'m'", section="score")
