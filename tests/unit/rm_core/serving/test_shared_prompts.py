"""Comparisons of one prompt as one Comparison: what is put together, what is cut, and where each reward goes back."""

from dataclasses import replace

import numpy as np
import pytest
from toys import ROW_FORMAT, toy_comparison, toy_image, toy_reward_model

from rm_core.batches.packed import collate
from rm_core.objectives.pairwise import means
from rm_core.packing.plan import PackBudget
from rm_core.serving.shared_prompts import Asked, prompt_key, share_prompts

WIDE = PackBudget(tokens=10_000, patches=10_000)


def asked(seed: int, count: int, *, images: int = 0, response_images: int = 0) -> Asked:
    """Comparison `seed` asks about a prompt of its own; `image_seed` decides the pictures."""
    shown = tuple(toy_image(10 * seed + place) for place in range(images))
    own = tuple(toy_image(90 + place) for place in range(response_images))
    made = toy_comparison(seed, images=shown, response_images=own, ranks=(0,) * count)
    return Asked(made, (images, *(int(place < response_images) for place in range(count))))


def part(whole: Asked, places: list[int]) -> Asked:
    """A request about some of the responses of another one."""
    images = whole.prompt_images
    for place in places:
        images += whole.response_images(place)
    encoded = replace(
        whole.encoded, response_ids=tuple(whole.encoded.response_ids[place] for place in places),
        ranks=(0,) * len(places), scores=(None,) * len(places), images=images,
    )  # fmt: skip
    return Asked(encoded, (whole.num_images[0], *(whole.num_images[place + 1] for place in places)))


def test_requests_about_one_prompt_are_one_row_and_get_their_own_rewards_back() -> None:
    first, other = asked(1, 4, images=1, response_images=3), asked(2, 2)
    shared = share_prompts([part(first, [0, 2]), other, part(first, [1]), part(first, [3])], WIDE)
    assert [len(row.response_ids) for row in shared.rows] == [4, 2]
    assert shared.rows[0].images == (*first.prompt_images, *(first.response_images(place)[0] for place in (0, 2, 1)))
    assert shared.of_asked([(0.0, 2.0, 1.0, 3.0), (7.0, 8.0)]) == [(0.0, 2.0), (7.0, 8.0), (1.0,), (3.0,)]


def test_the_rewards_are_those_of_the_requests_alone() -> None:
    model = toy_reward_model().eval()
    whole = asked(3, 5, images=2, response_images=2)
    items = [part(whole, [4, 0]), part(whole, [1]), asked(4, 1), part(whole, [2, 3])]

    def rewards(rows: list[Asked]) -> list[list[float]]:
        batch = collate([row.encoded for row in rows], row_format=ROW_FORMAT)
        flat = means(model(batch)).detach().numpy()
        return [found.tolist() for found in np.split(flat, np.cumsum(batch.num_responses)[:-1])]

    shared = share_prompts(items, WIDE)
    together = shared.of_asked(rewards([Asked(row, ()) for row in shared.rows]))
    for item, found in zip(items, together, strict=True):
        assert list(found) == pytest.approx(rewards([item])[0], abs=1e-6)


def test_where_critiques_begin_is_kept_for_each_answer() -> None:
    def critic(whole: Asked, starts: tuple[int, ...]) -> Asked:
        return Asked(replace(whole.encoded, target_starts=starts), whole.num_images)

    whole = asked(8, 3)
    items = [critic(part(whole, [2, 0]), (1, 2)), critic(part(whole, [1]), (3,))]
    [row] = share_prompts(items, WIDE).rows
    assert row.target_starts == (1, 2, 3)
    assert share_prompts([whole], WIDE).rows[0].target_starts == ()


def test_other_pictures_are_another_prompt() -> None:
    one, other = asked(5, 1, images=1), asked(5, 1, images=1)
    assert prompt_key(one) == prompt_key(other)
    turned = Asked(replace(other.encoded, images=(toy_image(77),)), other.num_images)
    assert prompt_key(one) != prompt_key(turned)
    assert len(share_prompts([one, turned], WIDE).rows) == 2


def test_what_is_larger_than_a_row_is_cut_and_every_piece_has_the_prompt() -> None:
    item = asked(6, 12, images=1)
    prompt = len(item.encoded.prefix_ids)
    budget = PackBudget(tokens=prompt + 20, patches=100)
    shared = share_prompts([item], budget)
    assert len(shared.rows) > 1
    assert all(row.num_tokens <= budget.tokens and row.images == item.prompt_images for row in shared.rows)
    rewards = [[100.0 * number + place for place in range(12)] for number, _ in enumerate(shared.rows)]
    order = [row for row, _ in shared.places[0]]
    assert order == sorted(order) and shared.of_asked(rewards)[0][0] == 0.0
    pieces = [ids for row in shared.rows for ids in row.response_ids]
    assert all(np.array_equal(a, b) for a, b in zip(pieces, item.encoded.response_ids, strict=True))
