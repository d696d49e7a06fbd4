"""Toys with videos: folders of frames and files on disk, and encoded videos of noise."""

import io
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image
from toys import IMAGE_TOKEN, VIDEO_TOKEN, VISION_END, VISION_START, VOCABULARY, toy_image

from data_pipeline.encoding.encoder import EncodedComparison, EncodedVideo, VisionSpan
from data_pipeline.encoding.spans import steps_of


def toy_video(
    seed: int, frames: int, height: int = 56, width: int = 56, *, seconds_per_step: float = 2.0
) -> EncodedVideo:
    """A video whose frames are all different noise."""
    pictures = tuple(toy_image(1000 * seed + place, height, width) for place in range(frames))
    return EncodedVideo(pictures, seconds_per_step)


def seeing_comparison(
    seed: int,
    spans: Sequence[VisionSpan],
    *,
    response_spans: Sequence[Sequence[VisionSpan]] = ((), ()),
    ranks: tuple[int, ...] | None = None,
) -> EncodedComparison:
    """Random text around images and videos, in the prompt and in each response."""
    random = np.random.default_rng(seed)

    def segment(shown: Sequence[VisionSpan]) -> np.ndarray:
        pieces = [random.integers(4, VOCABULARY, 3)]
        for span in shown:
            pieces += [span_ids(span), random.integers(4, VOCABULARY, int(random.integers(0, 4)))]
        return np.concatenate([*pieces, random.integers(4, VOCABULARY, 2)]).astype(np.int32)

    return EncodedComparison(
        id=f"seeing-{seed}",
        source="video",
        split="train",
        prefix_ids=segment(spans),
        response_ids=tuple(map(segment, response_spans)),
        ranks=ranks or tuple(range(len(response_spans))),
        scores=(None,) * len(response_spans),
        images=(*spans, *(span for shown in response_spans for span in shown)),
    )


def span_ids(span: VisionSpan) -> np.ndarray:
    """The tokens of a span with its marks; of a stamped video step by step, each behind a word in place of its time."""
    pad = VIDEO_TOKEN if isinstance(span, EncodedVideo) else IMAGE_TOKEN
    runs = [[VISION_START, *[pad] * run.num_tokens, VISION_END] for run in steps_of(span)]
    stamps = [[4 + place] if len(runs) > 1 else [] for place in range(len(runs))]
    return np.array([token for stamp, run in zip(stamps, runs, strict=True) for token in (*stamp, *run)])


def write_frames(folder: Path, seeds: Sequence[int], height: int = 60, width: int = 90) -> None:
    """frame0.png, frame1.png, ... of noise, one a seed."""
    folder.mkdir(parents=True)
    for place, seed in enumerate(seeds):
        (folder / f"frame{place}.png").write_bytes(noise_png(seed, height, width))


def noise_png(seed: int, height: int = 60, width: int = 90) -> bytes:
    """A PNG file of noise."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def write_film(
    path: Path, count: int, *, rate: float = 4, height: int = 60, width: int = 90, codec: str = "libx264"
) -> Path:
    """A video file of `count` frames, each a shade with a bar that moves; with H.264 some of them are stored early."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", options={"movflags": "faststart"} if path.suffix == ".mp4" else {}) as film:
        stream = film.add_stream(codec, rate=Fraction(rate).limit_denominator(1001))
        stream.width, stream.height, stream.pix_fmt = width, height, "yuvj420p" if codec == "mjpeg" else "yuv420p"
        for place in range(count):
            pixels = np.full((height, width, 3), (40 + 11 * place % 160, 90, 200 - 9 * place % 160), np.uint8)
            left = 7 * place % (width - 12)
            pixels[height // 4 : height // 2, left : left + 12] = (250, 240, 20)
            film.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        film.mux(stream.encode(None))
    return path


def frames_of_film(path: Path) -> list[np.ndarray]:
    """Every frame of a film, uint8 [height, width, 3], by a plain loop."""
    with av.open(str(path)) as film:
        return [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]


def extract_frames(film: Path, folder: Path) -> None:
    """frame0.png, frame1.png, ... of every frame of a film."""
    folder.mkdir(parents=True)
    for place, pixels in enumerate(frames_of_film(film)):
        Image.fromarray(pixels).save(folder / f"frame{place}.png")
