"""Questions to a judge: their text, which answers they show in which order, and their pictures."""

from dataclasses import replace

import numpy as np
import pytest

from data_pipeline.config import EncodeConfig
from data_pipeline.encoding.encoded import NOT_KNOWN, EncodedComparison, Judgement
from data_pipeline.encoding.encoder import Encoder
from data_pipeline.encoding.questions import Asking, QuestionTokens, question_tokens
from data_pipeline.encoding.tokenizer import ChatTokenizer, load_tokenizer, train_tokenizer
from data_pipeline.errors import RecipeError
from data_pipeline.media import Image
from data_pipeline.records.comparison import Comparison, ImageSlot, MediaRef, Response, Turn

QUESTION = "Which is better?\n[1]\n{first}\n[2]\n{second}\nSay 1 or 2."


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> ChatTokenizer:
    folder = str(tmp_path_factory.mktemp("model"))
    train_tokenizer([QUESTION, "Say 1 or 2, a, b, c"], 300, folder)
    return load_tokenizer(folder)


@pytest.fixture(scope="module")
def tokens(tokenizer: ChatTokenizer) -> QuestionTokens:
    return question_tokens(tokenizer, QUESTION, EncodeConfig())


def encoded(tokenizer: ChatTokenizer, *answers: str, config: EncodeConfig | None = None) -> EncodedComparison:
    responses = tuple(Response((answer,), rank) for rank, answer in enumerate(answers))
    prompt = (Turn("user", ("Say a letter",)),)
    comparison = Comparison(id="x", source="s", prompt=prompt, responses=responses)
    return Encoder(tokenizer, config or EncodeConfig(system_prompt="S")).encode(comparison, [])


def texts(tokenizer: ChatTokenizer, item: EncodedComparison) -> list[str]:
    return [tokenizer.decode([*item.prefix_ids.tolist(), *ids.tolist()]) for ids in item.response_ids]


@pytest.mark.parametrize("end", ["end_of_turn", "line_break"])
def test_a_question_is_a_turn_behind_the_prompt(tokenizer: ChatTokenizer, end: str) -> None:
    config = EncodeConfig(system_prompt="S", answer_end=end)
    asking = Asking(question_tokens(tokenizer, QUESTION, config), "both")
    asked = asking(encoded(tokenizer, "a", "b b", config=config))
    head = "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nSay a letter<|im_end|>\n<|im_start|>user\n"
    question = "Which is better?\n[1]\n{}\n[2]\n{}\nSay 1 or 2.<|im_end|>\n<|im_start|>assistant\n"
    assert texts(tokenizer, asked) == [head + question.format("a", "b b"), head + question.format("b b", "a")]
    assert asked.questions is not None
    assert (asked.questions.pairs, asked.questions.right) == (((0, 1), (1, 0)), (0, 1))
    assert tokenizer.decode(asked.questions.verdicts) == "12"
    assert asked.ranks == (0, 1) and asked.answer_lengths == tuple(
        map(len, encoded(tokenizer, "a", "b b", config=config).response_ids)
    )


def test_one_order_does_not_tell_which_answer_is_better(tokenizer: ChatTokenizer, tokens: QuestionTokens) -> None:
    asking, first = Asking(tokens, "one"), 0
    for number in range(200):
        item = encoded(tokenizer, f"a{number}", f"b{number}")
        turned = replace(item, response_ids=item.response_ids[::-1])
        shown, other = asking(item), asking(turned)
        assert [ids.tolist() for ids in shown.response_ids] == [ids.tolist() for ids in other.response_ids]
        assert shown.questions is not None and other.questions is not None
        assert sorted((*shown.questions.right, *other.questions.right)) == [0, 1]
        first += shown.questions.right == (0,)
    assert 70 < first < 130


def test_all_asks_about_ties_and_the_others_ask_per_record(tokenizer: ChatTokenizer, tokens: QuestionTokens) -> None:
    tied = replace(encoded(tokenizer, "a", "b", "c"), ranks=(0, 0, 1))
    everything, ranked = Asking(tokens, "all")(tied).questions, Asking(tokens, "both")(tied).questions
    assert everything is not None and ranked is not None
    assert everything.pairs == ((0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1))
    assert set(everything.right) == {NOT_KNOWN}
    assert ranked.pairs == ((0, 2), (2, 0), (1, 2), (2, 1)) and ranked.right == (0, 1, 0, 1)
    records = (Judgement("r", (2, 0), (0, 1), (None, None)), Judgement("s", (0, 2), (0, 1), (None, None)))
    grouped = Asking(tokens, "both")(replace(tied, ranks=(), scores=(), judgements=records)).questions
    assert grouped is not None
    assert grouped.pairs == ((2, 0), (0, 2), (0, 2), (2, 0)) and grouped.right == (0, 1, 0, 1)


def test_pictures_of_answers_are_shown_with_each_question(tokenizer: ChatTokenizer, tokens: QuestionTokens) -> None:
    sizes = [(28, 28), (56, 28), (28, 56)]
    media = [Image(sha256=str(i), data=b"", height=height, width=width) for i, (height, width) in enumerate(sizes)]
    comparison = Comparison(
        id="x", source="s", prompt=(Turn("user", (ImageSlot(0), "Which?")),),
        responses=(Response((ImageSlot(1), "a"), 0), Response(("b", ImageSlot(2)), 1)),
        media=(MediaRef(path="0"), MediaRef(path="1"), MediaRef(path="2")),
    )  # fmt: skip
    config = EncodeConfig(min_pixels=28 * 28)
    asked = Asking(tokens, "both")(Encoder(tokenizer, config).encode(comparison, media))
    assert [span.key for span in asked.images] == ["0", "1", "2", "2", "1"]
    shown = np.concatenate([asked.prefix_ids, *asked.response_ids])
    assert int((shown == tokenizer.image_token).sum()) == sum(span.num_tokens for span in asked.images)


@pytest.mark.parametrize("template", ["{first}", "{second} {first}", "{first} {first} {second}", ""])
def test_a_question_without_its_answers_is_refused(tokenizer: ChatTokenizer, template: str) -> None:
    with pytest.raises(RecipeError, match=r"train\.generative\.question must hold {first} and {second}"):
        question_tokens(tokenizer, template, EncodeConfig())


def test_answers_read_with_their_header_are_refused(tokenizer: ChatTokenizer) -> None:
    with pytest.raises(RecipeError, match=r"preprocess\.encode\.answer_start=template"):
        question_tokens(tokenizer, QUESTION, EncodeConfig(answer_start="template"))
