"""Videos in packed rows against Transformers: positions, patches, rewards and gradients."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from separate_rows import assert_equal_gradients, gradients, separate_rewards, taken
from toys import (
    IMAGE_TOKEN,
    ROW_FORMAT,
    VIDEO_TOKEN,
    VOCABULARY,
    prepared_for,
    sized_for,
    toy_comparison,
    toy_image,
    toy_reward_model,
)
from transformers.image_utils import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD
from video_toys import seeing_comparison, span_ids, toy_video

from data_pipeline.encoding.encoder import EncodedComparison, EncodedImage, EncodedVideo, VisionSpan
from data_pipeline.media import QWEN2_5_VL, QWEN3_VL, ImageFormat, resized_rgb
from rm_core.batches.packed import collate
from rm_core.batches.pixels import patches_of
from rm_core.batches.positions import comparison_positions, segment_positions, span_positions
from rm_core.model.attention import WorkDone

CLIP = toy_video(1, 4, 56, 84, seconds_per_step=3.0)


def comparisons_for(format: ImageFormat) -> dict[str, EncodedComparison]:
    def video(seed: int, frames: int, height: int = 56, width: int = 56, seconds_per_step: float = 2.0) -> EncodedVideo:
        sized: EncodedVideo = sized_for(
            format, toy_video(seed, frames, height, width, seconds_per_step=seconds_per_step)
        )
        return sized

    def image(seed: int, height: int = 56, width: int = 56) -> EncodedImage:
        sized: EncodedImage = sized_for(format, toy_image(seed, height, width))
        return sized

    clip = sized_for(format, CLIP)
    return {
        "one video": seeing_comparison(0, [video(2, 6)]),
        "an odd number of frames": seeing_comparison(1, [video(3, 5, 84, 56, 0.3)]),
        "one frame": seeing_comparison(2, [video(4, 1)]),
        "longer in time than in space": seeing_comparison(3, [video(5, 13, 28, 28, 7.7)]),
        "several videos": seeing_comparison(4, [clip, video(6, 3, 28, 112, 1 / 3), clip]),
        "images and videos": seeing_comparison(5, [image(1), clip, image(2, 84, 28), video(7, 3), image(3)]),
        "videos in responses": seeing_comparison(
            6,
            [image(4)],
            response_spans=[[video(8, 4), image(5)], [], [clip], [image(6), video(9, 5)]],
            ranks=(1, 0, 2, 0),
        ),
        "no video": prepared_for(format, toy_comparison(7, images=(toy_image(7),))),
    }


COMPARISONS = comparisons_for(QWEN2_5_VL)
OF_FAMILY = {"qwen2_5_vl": COMPARISONS, "qwen2_vl": COMPARISONS, "qwen3_vl": comparisons_for(QWEN3_VL)}


@pytest.mark.parametrize("model_type", OF_FAMILY)
@pytest.mark.parametrize("name", COMPARISONS)
def test_positions_equal_those_of_transformers(name: str, model_type: str) -> None:
    item = OF_FAMILY[model_type][name]
    model = toy_reward_model(model_type=model_type)
    packed = comparison_positions(item, model.row_format)
    spans, start = iter(item.images), len(item.prefix_ids)
    in_prefix = taken(spans, item.prefix_ids)
    for ids in item.response_ids:
        row = torch.from_numpy(np.concatenate([item.prefix_ids, ids])).long()[None]
        expected, _ = model.backbone.get_rope_index(
            row,
            mm_token_type_ids=(row == IMAGE_TOKEN).int() + 2 * (row == VIDEO_TOKEN).int(),
            attention_mask=torch.ones_like(row),
            **grids([*in_prefix, *taken(spans, ids)]),
        )
        own = np.concatenate([packed[:, : len(item.prefix_ids)], packed[:, start : start + len(ids)]], axis=1)
        assert own.tolist() == expected[:, 0].tolist()
        start += len(ids)


def grids(spans: list[VisionSpan]) -> dict[str, torch.Tensor]:
    videos = [span for span in spans if isinstance(span, EncodedVideo)]
    images = [span for span in spans if isinstance(span, EncodedImage)]
    given = {"image_grid_thw": torch.tensor([image.grid for image in images])} if images else {}
    if videos:
        given["video_grid_thw"] = torch.tensor([video.grid for video in videos])
        given["second_per_grid_ts"] = torch.tensor([video.seconds_per_step for video in videos])
    return given


def test_the_seconds_of_a_step_move_time_and_nothing_else() -> None:
    for seconds, times in (
        (2.0, [0, 4, 8]),
        (0.3, [0, 0, 1]),
        (0.25, [0, 0, 1]),
        (1 / 3, [0, 0, 1]),
        (7.7, [0, 15, 30]),
    ):
        found = span_positions(toy_video(0, 6, 28, 56, seconds_per_step=seconds), ROW_FORMAT)
        assert found.tolist() == [np.repeat(times, 2).tolist(), [0] * 6, [0, 1] * 3]
    without = replace(ROW_FORMAT, time_per_second=None)
    assert span_positions(toy_video(0, 6, 28, 56, seconds_per_step=9.0), without)[0].tolist() == [0, 0, 1, 1, 2, 2]


def test_the_docstring_example() -> None:
    video = toy_video(0, 4, 28, 56, seconds_per_step=3.0)
    assert span_positions(video, ROW_FORMAT).tolist() == [[0, 0, 6, 6], [0, 0, 0, 0], [0, 1, 0, 1]]


def test_text_goes_on_behind_rows_and_columns_however_long_the_video_is() -> None:
    video = toy_video(0, 8, 28, 56, seconds_per_step=5.0)
    ids = np.array([9, *span_ids(video), 9], dtype=np.int32)
    positions, after = segment_positions(ids, [video], row_format=ROW_FORMAT, start=10)
    assert positions[0].tolist() == [10, 11, 12, 12, 22, 22, 32, 32, 42, 42, 14, 15]
    assert after == 16


def test_tokens_of_the_other_kind_are_refused() -> None:
    image, video = toy_image(0), toy_video(0, 2)
    assert image.num_tokens == video.num_tokens
    for tokens, span, kind in ((image, video, "video"), (video, image, "image")):
        with pytest.raises(ValueError, match=f"are no {kind} of 4 tokens"):
            segment_positions(span_ids(tokens).astype(np.int32), [span], row_format=ROW_FORMAT, start=0)


def expected_patches(video: EncodedVideo) -> np.ndarray:
    """The layout of Transformers' `Qwen2VLVideoProcessor.patchify`, which itself needs torchvision."""
    pixels = np.stack([resized_rgb(frame.data, video.height, video.width) for frame in video.frames]) / 255.0
    videos = torch.from_numpy((pixels - OPENAI_CLIP_MEAN) / OPENAI_CLIP_STD).permute(0, 3, 1, 2)
    if len(videos) % 2:
        videos = torch.cat([videos, videos[-1:]])
    steps, rows, columns = len(videos) // 2, video.height // 14, video.width // 14
    patches = videos.reshape(1, steps, 2, 3, rows // 2, 2, 14, columns // 2, 2, 14)
    flat = patches.permute(0, 1, 4, 7, 5, 8, 3, 2, 6, 9).reshape(steps * rows * columns, 3 * 2 * 14 * 14)
    return flat.float().numpy()


@pytest.mark.parametrize(("frames", "height", "width"), [(2, 28, 28), (4, 56, 84), (5, 84, 28), (1, 56, 56)])
def test_patches_equal_the_hugging_face_layout(frames: int, height: int, width: int) -> None:
    video = toy_video(frames, frames, height, width)
    ours = patches_of(video)
    assert video.grid == ((frames + 1) // 2, height // 14, width // 14)
    assert ours.shape == (video.num_patches, 1176) and ours.dtype == np.float32
    np.testing.assert_allclose(ours, expected_patches(video), atol=1e-5)


def test_a_video_of_one_picture_has_the_patches_of_that_picture() -> None:
    image = toy_image(3, 56, 84)
    for frames in (1, 2):
        np.testing.assert_array_equal(patches_of(EncodedVideo((image,) * frames, 1.0)), patches_of(image))
    twice = patches_of(EncodedVideo((image,) * 3, 1.0))
    np.testing.assert_array_equal(twice, np.concatenate([patches_of(image)] * 2))


def test_a_blank_video_keeps_its_shape_and_loses_its_content() -> None:
    blank = patches_of(CLIP, blank=True)
    assert blank.shape == patches_of(CLIP).shape
    assert np.ptp(blank.reshape(-1, 3, 392), axis=(0, 2)).max() == 0


def test_frames_of_two_sizes_are_no_video() -> None:
    with pytest.raises(ValueError, match="frames of one size, got 2 frames"):
        EncodedVideo((toy_image(0), toy_image(1, 84, 84)), 1.0)
    with pytest.raises(ValueError, match="got 0 frames"):
        EncodedVideo((), 1.0)


@pytest.mark.parametrize("model_type", OF_FAMILY)
def test_rewards_and_gradients_equal_separate_rows(model_type: str) -> None:
    model, row = toy_reward_model(model_type=model_type), list(OF_FAMILY[model_type].values())
    packed = model(collate(row, row_format=model.row_format))
    weights = torch.randn(packed.shape, generator=torch.Generator().manual_seed(0))
    found = gradients(model, (packed * weights).sum())
    separate = torch.cat([separate_rewards(model, item) for item in row])
    torch.testing.assert_close(packed, separate, rtol=1e-5, atol=1e-5)
    assert_equal_gradients(found, gradients(model, (separate * weights).sum()))


def test_the_model_sees_order_and_time() -> None:
    """Else the equalities above could hold of a model that looks at one frame."""
    model = toy_reward_model().eval()
    item = COMPARISONS["one video"]
    (video,) = item.images
    assert isinstance(video, EncodedVideo)
    other = [
        replace(video, frames=video.frames[::-1]),
        replace(video, frames=(video.frames[0], *video.frames[2:], video.frames[1])),
        replace(video, seconds_per_step=40.0),
    ]
    before, *after = (model(collate([replace(item, images=(one,))], row_format=ROW_FORMAT)) for one in (video, *other))
    assert all((one - before).abs().max() > 1e-5 for one in after)


def test_a_shared_video_is_encoded_once_whatever_its_seconds() -> None:
    slower = replace(CLIP, seconds_per_step=9.0)
    row = [seeing_comparison(0, [CLIP, slower]), seeing_comparison(1, [CLIP, toy_image(0)])]
    calls: list[VisionSpan] = []

    def load(span: VisionSpan) -> np.ndarray:
        calls.append(span)
        return patches_of(span)

    batch = collate(row, row_format=ROW_FORMAT, load_image=load)
    assert [span.key for span in calls] == [CLIP.key, toy_image(0).key]
    assert batch.image_grid.tolist() == [[2, 4, 6], [1, 4, 4]]
    assert batch.num_patches == 3 * CLIP.num_patches + 16 and batch.num_distinct_patches == CLIP.num_patches + 16
    model = toy_reward_model().eval()
    assert len(model(batch)) == 4
    assert model.work.take() == WorkDone(batch.num_tokens, CLIP.num_patches + 16, "sdpa")


def test_a_video_and_its_first_frame_as_an_image_are_two() -> None:
    batch = collate([seeing_comparison(0, [CLIP, CLIP.frames[0]])], row_format=ROW_FORMAT)
    assert batch.image_grid.tolist() == [[2, 4, 6], [1, 4, 6]]


def test_a_row_of_video_tokens_has_no_others() -> None:
    ids = COMPARISONS["several videos"].prefix_ids
    assert (ids == VIDEO_TOKEN).sum() == sum(span.num_tokens for span in COMPARISONS["several videos"].images)
    assert ids.max() < VOCABULARY and IMAGE_TOKEN not in ids
