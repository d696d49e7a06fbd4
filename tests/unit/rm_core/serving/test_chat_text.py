"""Texts with the marks of a chat: the template's own text comes back as the turns that made it."""

from typing import Any

import pytest
from jinja2 import Template

from data_pipeline.encoding.template import chat_template
from data_pipeline.errors import RecordError
from rm_core.serving.chat_text import read_chat_text, shared_rows

PICTURE = {"type": "image"}


def templated(*turns: tuple[str, Any], answer_end: str = "line_break") -> str:
    messages = [{"role": role, "content": content} for role, content in turns]
    return Template(chat_template(answer_end=answer_end)).render(messages=messages)


@pytest.mark.parametrize("answer_end", ["line_break", "end_of_turn"])
def test_the_templates_text_is_read_back(answer_end: str) -> None:
    question = [PICTURE, {"type": "text", "text": "What <image>\nis it?"}]
    text = templated(
        ("system", "Be brief."), ("user", question), ("assistant", "A bus."), ("user", "Sure?"),
        ("assistant", " Yes.\n"), answer_end=answer_end,
    )  # fmt: skip
    read = read_chat_text(text.replace("<|image_pad|>", "<|image_pad|>" * 9) + "<|endoftext|>" * 3)
    assert read.answer == " Yes.\n"
    assert [(turn["role"], turn["content"]) for turn in read.prompt] == [
        ("system", [{"type": "text", "text": "Be brief."}]),
        ("user", question),
        ("assistant", [{"type": "text", "text": "A bus."}]),
        ("user", [{"type": "text", "text": "Sure?"}]),
    ]


@pytest.mark.parametrize("image", ["<IMG_CONTEXT>", f"<img>{'<IMG_CONTEXT>' * 256}</img>"])
def test_pictures_of_internvl_are_read_back(image: str) -> None:
    text = templated(("user", [PICTURE, {"type": "text", "text": "<img>?"}]), ("assistant", "A bus."))
    read = read_chat_text(text.replace("<|vision_start|><|image_pad|><|vision_end|>", image))
    assert read.prompt[-1]["content"] == [PICTURE, {"type": "text", "text": "<img>?"}]


def test_an_answer_may_hold_marks_where_the_prompt_is_given() -> None:
    prompt = templated(("user", "Hi")) + "<|im_start|>assistant\n"
    answer = "Say <|im_end|> and <|im_start|>assistant\nno more"
    assert read_chat_text(f"{prompt}{answer}<|im_end|>\n", prompt).answer == answer


def test_a_text_without_marks_needs_its_prompt() -> None:
    read = read_chat_text("Name a bird. A wren.", "Name a bird.")
    assert (read.prompt[0]["content"], read.answer) == ([{"type": "text", "text": "Name a bird."}], " A wren.")
    for text, prompt in (("Name a bird. A wren.", None), ("A wren.", "Name a bird.")):
        with pytest.raises(RecordError, match="malformed_dialogue: it has no turns"):
            read_chat_text(text, prompt)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("<|im_start|>user\nHi<|im_end|>\n", "no turn of the assistant"),
        ("<|im_start|>assistant\nHi<|im_end|>\n", "no turn before"),
        ("<|im_start|>user\nHi\n<|im_start|>assistant\nA", "does not end with"),
        ("<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nA<|im_end|>\nB", "something stands behind"),
    ],
)
def test_what_is_no_chat_is_refused(text: str, said: str) -> None:
    with pytest.raises(RecordError, match=said):
        read_chat_text(text)


def test_answers_to_one_prompt_share_a_row_up_to_its_most() -> None:
    def text(question: str, answer: str) -> str:
        return templated(("user", question), ("assistant", answer))

    texts = [text("P", "a"), text("Q", "b"), text("P", "c"), text("P", "d"), text("P", "e")]
    images = [["x"], None, ["x"], ["x"], ["y"]]
    rows = shared_rows(texts, None, images, most=2)
    assert [(row["responses"], row["images"], places) for row, places in rows] == [
        (["a", "c"], ["x"], [0, 2]), (["b"], None, [1]), (["d"], ["x"], [3]), (["e"], ["y"], [4]),
    ]  # fmt: skip
    with pytest.raises(RecordError, match="1 images for 5 texts"):
        shared_rows(texts, None, [None], most=2)
