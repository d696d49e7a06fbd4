import pytest

from data_pipeline.errors import RecipeError
from rm_core.rl.config import RuleConfig
from rm_core.rl.matching import Rule


@pytest.mark.parametrize(
    ("config", "answer", "reference", "right"),
    [
        ({}, " Red. ", "red", True),
        ({}, "It is red.", "red", False),
        ({"pattern": r"\b([A-D])\b"}, "I take B. No, C.", "C", True),
        ({"pattern": r"\b([A-D])\b", "take": "first"}, "I take B. No, C.", "C", False),
        ({"pattern": "<answer>(.*?)</answer>"}, "<answer>a\nbus</answer>", "a bus", True),
        ({"pattern": "<answer>(.*?)</answer>"}, "a bus", "a bus", False),
        ({"pattern": "red|blue", "take": "all"}, "Left: red, right: blue.", "red blue", True),
        ({"pattern": "red|blue", "take": "all"}, "Left: blue, right: red.", "red blue", False),
        ({"pattern": "red|blue", "take": "all", "in_reference": True}, "red and blue", "First red, then blue.", True),
        ({"pattern": "red|blue", "in_reference": True}, "green", "green", False),
    ],
)
def test_an_answer_is_right_where_what_counts_is_the_same(
    config: dict[str, str], answer: str, reference: str, right: bool
) -> None:
    assert Rule(RuleConfig(**config)).matches(answer, reference) is right


@pytest.mark.parametrize("pattern", ["(", "(a)(b)"])
def test_a_pattern_that_cannot_be_meant_is_refused_with_the_key(pattern: str) -> None:
    with pytest.raises(RecipeError, match=r"rl\.reward\.rule\.pattern"):
        Rule(RuleConfig(pattern=pattern))
