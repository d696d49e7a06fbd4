"""Positions and patches equal Transformers' own."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from toys import IMAGE_TOKEN, ROW_FORMAT, toy_comparison, toy_image, toy_reward_model
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
from transformers.vision_utils import (
    get_vision_cu_seqlens,
    get_vision_interpolation_indices_and_weights,
    get_vision_position_ids,
    get_vision_window_index,
)

from rm_core.batches.pixels import patches_of, patchify
from rm_core.batches.positions import comparison_positions, segment_positions
from rm_core.batches.vision_indices import groups_of, vision_indices_of


def test_the_docstring_example() -> None:
    ids = np.array([9, IMAGE_TOKEN, IMAGE_TOKEN, IMAGE_TOKEN, IMAGE_TOKEN, 9], dtype=np.int32)
    positions, after = segment_positions(ids, [toy_image(0)], row_format=ROW_FORMAT, start=0)
    assert positions.tolist() == [[0, 1, 1, 1, 1, 3], [0, 1, 1, 2, 2, 3], [0, 1, 2, 1, 2, 3]]
    assert after == 4


@pytest.mark.parametrize("images", [(), (toy_image(0),), (toy_image(0, 84, 56), toy_image(1, 28, 112))])
def test_positions_of_each_response_equal_those_of_its_own_row(images: tuple) -> None:
    item = toy_comparison(5, images=images, ranks=(0, 1, 2))
    packed = comparison_positions(item, ROW_FORMAT)
    backbone, start = toy_reward_model().backbone, len(item.prefix_ids)
    for ids in item.response_ids:
        row = torch.from_numpy(np.concatenate([item.prefix_ids, ids])).long()[None]
        grid = torch.tensor([image.grid for image in images]) if images else None
        expected, _ = backbone.get_rope_index(
            row, mm_token_type_ids=(row == IMAGE_TOKEN).int(), image_grid_thw=grid, attention_mask=torch.ones_like(row)
        )
        own = np.concatenate([packed[:, : len(item.prefix_ids)], packed[:, start : start + len(ids)]], axis=1)
        assert own.tolist() == expected[:, 0].tolist()
        start += len(ids)


def test_a_grid_that_does_not_match_its_span_is_refused() -> None:
    ids = np.array([9, IMAGE_TOKEN, IMAGE_TOKEN, 9], dtype=np.int32)
    for wrong in (toy_image(0), toy_image(0, 28, 28), toy_image(0, 28, 84)):
        with pytest.raises(ValueError, match=rf"from 1 are no image of {wrong.num_tokens} tokens"):
            segment_positions(ids, [wrong], row_format=ROW_FORMAT, start=0)
    with pytest.raises(ValueError, match="are no image of 4 tokens"):
        segment_positions(ids[:-1], [toy_image(0)], row_format=ROW_FORMAT, start=0)
    for count in (0, 2):
        with pytest.raises(ValueError, match=f"{count} images and videos for 1 spans"):
            segment_positions(ids, [toy_image(0, 28, 56)] * count, row_format=ROW_FORMAT, start=0)


def test_more_images_than_spans_are_refused() -> None:
    item = toy_comparison(1, images=(toy_image(0),))
    with pytest.raises(ValueError, match="2 images and videos, but 1 spans"):
        comparison_positions(replace(item, images=(*item.images, toy_image(1))), ROW_FORMAT)


@pytest.mark.parametrize(("height", "width"), [(56, 56), (84, 140), (28, 280)])
def test_patches_equal_the_hugging_face_processor(height: int, width: int) -> None:
    pixels = np.random.default_rng(height).integers(0, 256, (height, width, 3), dtype=np.uint8)
    processor = Qwen2VLImageProcessorPil(size={"shortest_edge": 784, "longest_edge": 1_003_520})
    theirs = processor(images=[pixels], return_tensors="np")
    assert theirs["image_grid_thw"].tolist() == [[1, height // 14, width // 14]]
    np.testing.assert_allclose(patchify(pixels), theirs["pixel_values"], atol=1e-5)


def test_a_blank_image_keeps_its_shape_and_loses_its_content() -> None:
    image = toy_image(3, 56, 84)
    blank = patches_of(image, blank=True)
    assert blank.shape == patches_of(image).shape == (image.num_patches, 1176)
    assert np.ptp(blank.reshape(-1, 3, 392), axis=(0, 2)).max() == 0


@pytest.mark.parametrize("grids", [[(1, 2, 2)], [(1, 8, 8), (1, 16, 8)], [(1, 6, 10), (3, 14, 4), (1, 34, 18)]])
def test_indices_of_a_tower_are_those_of_transformers(grids: list[tuple[int, int, int]]) -> None:
    found, given = vision_indices_of(grids, window=4), torch.tensor(grids)
    order, starts = get_vision_window_index(given, 2, 112, 14)
    assert found.order is not None and found.back is not None and torch.equal(found.order, order)
    assert torch.equal(found.order[found.back], torch.arange(len(order)))
    positions = get_vision_position_ids(given, 2)
    assert torch.equal(found.positions, positions.view(-1, 4, 2)[order].flatten(0, 1))
    assert torch.equal(vision_indices_of(grids, window=0).positions, positions)
    for groups, ends in ((found.windows, starts), (found.frames, get_vision_cu_seqlens(given))):
        lengths = ends.diff().tolist()
        expected = groups_of(lengths)
        assert set(groups.lengths) == set(lengths) and groups.lengths == expected.lengths
        assert (groups.back is None) == (len(groups.gathered) == 0) == (len(set(lengths)) == 1)
        assert all(map(torch.equal, groups.gathered, expected.gathered))


@pytest.mark.parametrize("side", [5, 48])
def test_learnt_places_are_those_of_transformers(side: int) -> None:
    grids = [(1, 2, 2), (1, 48, 48), (3, 14, 100), (1, 34, 6)]
    found = vision_indices_of(grids, window=0, places=side)
    places, shares = get_vision_interpolation_indices_and_weights(
        torch.tensor(grids), side, mode="bilinear", align_corners=True, spatial_merge_size=2
    )
    assert found.places is not None and found.shares is not None
    assert torch.equal(found.places, places) and torch.equal(found.shares, shares)
    assert found.shares.dtype == torch.float32
    assert vision_indices_of(grids, window=4).places is None
