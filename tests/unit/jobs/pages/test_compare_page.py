"""What a comparison of two models says, and on which Comparisons they differ."""

import pytest
from html_pages import PageReader

from jobs.pages.compare_page import render_comparison, verdict
from rm_core.evaluation.matching import largest_differences, match
from rm_core.evaluation.paired import compare_paired
from rm_core.scoring.scored import ScoredComparison


def scored(margins: list[float], source: str = "s") -> list[ScoredComparison]:
    return [
        ScoredComparison(f"item {index}", source, (margin, 0.0), (0, 1), (3, 3), index % 2, group=f"{index}")
        for index, margin in enumerate(margins)
    ]


def test_a_verdict_names_the_better_one_with_its_interval() -> None:
    found = compare_paired(scored([1.0] * 60 + [-1.0] * 40), scored([1.0] * 90 + [-1.0] * 10))
    assert verdict(found).startswith("B is better by 0.300 (0.2")
    back = compare_paired(scored([1.0] * 90 + [-1.0] * 10), scored([1.0] * 60 + [-1.0] * 40))
    assert verdict(back, a="old", b="new").startswith("old is better by 0.300 (0.2")
    low, high = verdict(back).split("(")[1].rstrip(")").split(" to ")
    assert float(low) < 0.3 < float(high)


def test_no_difference_says_how_many_would_show_one() -> None:
    # 10 against 4 of 100 discordant: 298 Comparisons by the formula, 300 in two digits; detectable 0.1035.
    a = scored([1.0] * 60 + [-1.0] * 10 + [1.0] * 4 + [-1.0] * 26)
    b = scored([1.0] * 60 + [1.0] * 10 + [-1.0] * 4 + [-1.0] * 26)
    said = verdict(compare_paired(a, b))
    assert said.startswith("no difference seen: B - A is +0.060 (")
    assert said.endswith("about 300 Comparisons would show it, and these 100 show 0.103 or more")
    even = verdict(compare_paired(scored([1.0, -1.0] * 50), scored([-1.0, 1.0] * 50)))
    assert even.startswith("no difference seen: B - A is 0 (") and "these 100 show" in even
    same = verdict(compare_paired(a, a), a="old", b="new")
    assert same == "no difference seen: none of the 100 Comparisons is ranked better by one (-0.037 to 0.037)"


def test_items_are_those_with_the_largest_gap_in_each_models_own_units() -> None:
    a = scored([3.0, -3.0, 3.0, -3.0, 3.0])
    b = scored([-0.1, 0.3, -0.3, 0.1, 0.2])  # ten times smaller rewards
    both = match(a, b)
    for_a, for_b = largest_differences(both.a, both.b, 10)
    assert [one.id for one in for_a] == ["item 2", "item 0"]
    assert [one.id for one in for_b] == ["item 1", "item 3"]
    # A's margins are all of size 3; the root of B's mean square is sqrt(0.24 / 5) = 0.2191.
    assert for_a[0].a_margin == pytest.approx(1.0) and for_a[0].b_margin == pytest.approx(-0.3 / 0.21909, abs=1e-3)
    assert (for_a[0].a_right, for_a[0].b_right, for_a[0].num_pairs) == (1, 0, 1)
    assert [one.id for one in largest_differences(both.a, both.b, 1)[0]] == ["item 2"]
    assert largest_differences(scored([0.0]), scored([0.0]), 3) == ([], [])


def test_the_page_holds_the_verdict_the_groups_and_the_items() -> None:
    evil = "<img src=x>"
    a = scored([1.0] * 60 + [-1.0] * 40, evil)
    b = scored([-2.0] * 5 + [1.0] * 85 + [-1.0] * 10, evil)
    found = compare_paired(a, b)
    html = render_comparison(found, a=evil, b="new", differences=largest_differences(a, b, 3), only=(7, 0))
    page = PageReader(html)
    text = " ".join("".join(page.text).split())
    assert page.fetching == [] and "img" not in page.tags and page.tags.count("svg") == 1
    assert "B is better by 0.250" in text and "7 Comparisons of A alone and 0 of B alone" in text
    assert "B right, A wrong" in text and "item 0" in text and "A right, B wrong" in text
    assert text.count("+0.250") >= 3  # the card, the chart and the table
