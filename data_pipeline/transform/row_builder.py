"""One raw record to its row of a shard and its signals: all expensive steps, and no filter.

    record -> adapter -> Comparisons -> extremes -> check -> images and videos -> tokens -> BuiltRow
                     any RecordError on the way refuses the item, with its reason

A benchmark's items are built by `BenchmarkRowBuilder`: prompts and image hashes only, since their images may not be
shipped.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from data_pipeline.config import MediaConfig, PreprocessConfig, SourceConfig
from data_pipeline.dataset.shards import ShardRow, reasoned_lengths, span_frames
from data_pipeline.encoding.encoder import (
    EncodedComparison,
    EncodedImage,
    EncodedVideo,
    Encoder,
    Segments,
    VisionSpan,
    check_tokens,
    common_prefix,
)
from data_pipeline.errors import RecordError
from data_pipeline.media import (
    MAX_MEDIA_BYTES,
    Image,
    SampledFrames,
    Video,
    frames_of,
    load_image,
    stored_bytes,
    video_of,
)
from data_pipeline.records.checks import check, content_key
from data_pipeline.records.comparison import Comparison, MediaRef
from data_pipeline.records.selection import extremes, with_frames
from data_pipeline.sources.accounting import UnreadFields
from data_pipeline.sources.registry import adapter_of
from data_pipeline.transform.loose_media import LooseMedia
from data_pipeline.transform.signals import text_signals

__all__ = ["BenchmarkRowBuilder", "BuiltRow", "RowBuilder"]


@dataclass(frozen=True, slots=True)
class BuiltRow:
    """One Comparison: what its shard holds (None for a benchmark's) and its columns of `UNIT_ROWS_SCHEMA`.

    The columns that depend on the shard (shard, row, image_rows) are not in `signals` yet.
    """

    shard_row: ShardRow | None
    signals: dict[str, Any]


class RowBuilder:
    """Records of one source to rows. An image that several records share is read and decoded once, until `forget`.

    `unread` counts the fields of the records that were not read.
    """

    def __init__(self, source: SourceConfig, media_root: str, config: PreprocessConfig, encoder: Encoder) -> None:
        self._source = source
        self._media_root = media_root
        self._media = config.media
        self._encoder = encoder
        self.unread = UnreadFields()
        self._adapter = adapter_of(source.shape, self.unread)
        self.loose = LooseMedia(media_root)
        self._images: dict[MediaRef, Image] = {}
        self._videos: dict[MediaRef, SampledFrames] = {}
        self._held_bytes = 0
        self._record_bytes = 0
        self._stored: dict[tuple[str, int, int], EncodedImage] = {}

    def items(self, record: Mapping[str, Any], row: int) -> Iterator[tuple[str, BuiltRow | RecordError]]:
        """(id, outcome) of each of the record's Comparisons; one refusal without id where none can be built."""
        try:
            made = self._adapter(record, self._source, row)
            comparisons = [made] if isinstance(made, Comparison) else list(made)
            if not comparisons:
                raise RecordError("no_comparison", f"row {row} holds no two ranked responses")
        except RecordError as error:
            yield "", error
            return
        for comparison in comparisons:
            try:
                yield comparison.id, self.build(comparison)
            except RecordError as error:
                yield comparison.id, error

    def build(self, comparison: Comparison) -> BuiltRow:
        """The row of one Comparison.

        Raises:
            RecordError: it cannot be learnt from, or one of its images cannot be used.
        """
        if self._source.responses == "extremes":
            comparison = extremes(comparison)
        check(comparison)
        self._record_bytes = 0
        if self._media.videos == "frames":
            comparison = with_frames(comparison, lambda ref: self._frames(ref).refs)
        if self._held_bytes > MAX_MEDIA_BYTES:
            self._forget_images()  # a shard may take long to fill: pictures are stored smaller than they come
        media = [self._medium(ref) for ref in comparison.media]
        if self._source.missing_critiques == "refuse":
            self._encoder.check_critiques(comparison)
        if self._source.missing_reasonings == "refuse":
            self._encoder.check_reasonings(comparison)
        key = content_key(comparison, [one.sha256 for one in media])
        encoded, segments = self._encoder.encode_segments(comparison, media)
        check_tokens(comparison, encoded)
        files = {image.sha256: image for image in _pictures(media)}
        stored = replace(encoded, images=tuple(self._store(span, files) for span in encoded.images))
        keys = [picture.key for picture in encoded.pictures]
        hashes = [files[name].perceptual_hash or 0 for name in keys]
        signals = _layout(stored, segments) | _signals(comparison, key, keys, hashes)
        return BuiltRow(ShardRow(comparison, stored, segments, key), signals)

    def forget(self) -> None:
        """Let go of the images: the shard that held them is written."""
        self._forget_images()
        self._stored.clear()

    def _forget_images(self) -> None:
        self._images.clear()
        self._videos.clear()
        self._held_bytes = 0

    def _frames(self, ref: MediaRef) -> SampledFrames:
        """Those of a file, which are decoded, are kept: many records may show one video."""
        self.loose.note(ref)
        if ref not in self._videos:
            self._videos[ref] = frames_of(ref, self._media_root, self._media)
            self._held_bytes += sum(len(frame.data or b"") for frame in self._videos[ref].refs)
        return self._videos[ref]

    def _medium(self, ref: MediaRef) -> Image | Video:
        if ref.is_video:
            return video_of(self._frames(ref), ref.path, self._image)
        self.loose.note(ref)
        return self._image(ref)

    def _image(self, ref: MediaRef) -> Image:
        if ref not in self._images:
            self._images[ref] = _loaded(ref, self._media_root, self._media, self.loose)
            self._held_bytes += len(self._images[ref].data)
        image = self._images[ref]
        self._record_bytes += len(image.data)
        if self._record_bytes > MAX_MEDIA_BYTES:
            raise RecordError("media_too_large", f"pictures of one record of more than {MAX_MEDIA_BYTES:,} bytes")
        return image

    def _store(self, span: VisionSpan, files: Mapping[str, Image]) -> VisionSpan:
        """The span with its pictures as the shard holds them; `files` by sha256."""
        if isinstance(span, EncodedVideo):
            return replace(span, frames=tuple(self._store_picture(files[frame.key], frame) for frame in span.frames))
        return self._store_picture(files[span.key], span)

    def _store_picture(self, image: Image, sized: EncodedImage) -> EncodedImage:
        place = (image.sha256, sized.height, sized.width)
        if place not in self._stored:
            data, resized = image.data, False
            if not sized.format.tile:  # tiles and the small picture behind them are two sizes of one file
                data, resized = stored_bytes(image, sized.height, sized.width, self._media)
            self._stored[place] = replace(sized, data=data, resized=resized)
        return self._stored[place]


class BenchmarkRowBuilder:
    """Items of a benchmark to signals; an image that cannot be read is left out and counted by its absence.

    `unread` counts the fields of the items that were not read.
    """

    def __init__(self, source: SourceConfig, media_root: str, media: MediaConfig) -> None:
        self._source = source
        self._media_root = media_root
        self._media = media
        self.unread = UnreadFields()
        # What a benchmark says must not be trained on, even where a part of it is not read.
        self._adapter = adapter_of(source.shape, self.unread, refuse_lost=False)
        self.loose = LooseMedia(media_root)

    def items(self, record: Mapping[str, Any], row: int) -> Iterator[tuple[str, BuiltRow | RecordError]]:
        """(id, outcome) of each item; ranks and responses are not looked at."""
        try:
            made = self._adapter(record, self._source, row)
            for comparison in [made] if isinstance(made, Comparison) else made:
                yield comparison.id, self._build(comparison)
        except RecordError as error:
            yield "", error

    def forget(self) -> None:
        """Nothing is kept."""

    def _build(self, comparison: Comparison) -> BuiltRow:
        images = [image for ref in comparison.media for image in self._readable(ref)]
        keys = [image.sha256 for image in images]
        hashes = [image.perceptual_hash or 0 for image in images]
        return BuiltRow(None, _NO_LAYOUT | _signals(comparison, "", keys, hashes))

    def _readable(self, ref: MediaRef) -> list[Image]:
        try:
            self.loose.note(ref)
            refs = frames_of(ref, self._media_root, self._media).refs if ref.is_video else (ref,)
            return [_loaded(one, self._media_root, self._media, self.loose) for one in refs]
        except RecordError:
            return []  # benchmarks are often given without their images: the manifest counts those read


def _loaded(ref: MediaRef, root: str, config: MediaConfig, loose: LooseMedia) -> Image:
    """The image, noted in `loose` whether it can be read or not."""
    loose.note(ref)
    image = load_image(ref, root, config)
    loose.note(ref, image.sha256)
    return image


_NO_LAYOUT: dict[str, Any] = {
    "turn_lengths": [],
    "turn_images": [],
    "response_lengths": [],
    "response_floors": [],
    "common_prefix": 0,
    "ranks": [],
    "image_patches": [],
    "span_frames": [],
}


def _pictures(media: Sequence[Image | Video]) -> list[Image]:
    return [image for one in media for image in (one.frames if isinstance(one, Video) else (one,))]


def _layout(encoded: EncodedComparison, segments: Segments) -> dict[str, Any]:
    return {
        "turn_lengths": list(segments.lengths),
        "turn_images": list(segments.images),
        "response_lengths": [len(ids) for ids in encoded.response_ids],
        "response_floors": list(segments.floors),
        "common_prefix": common_prefix(encoded.response_ids, encoded.ranks),
        "ranks": list(encoded.ranks),
        "image_patches": [span.num_patches for span in encoded.images],
        "span_frames": span_frames(encoded.images),
        "reasoned_lengths": reasoned_lengths(encoded),
    }


def _signals(comparison: Comparison, key: str, image_keys: list[str], image_hashes: list[int]) -> dict[str, Any]:
    text = text_signals(comparison)
    return {
        "id": comparison.id,
        "source": comparison.source,
        "own_split": comparison.split or "",
        "content_key": key,
        "image_keys": image_keys,
        "image_hashes": image_hashes,
        "prompt_key": text.prompt_key,
        "prompt_chars": text.prompt_chars,
        "response_chars": list(text.response_chars),
        "language": text.language,
        "prompt_minhash": text.prompt_minhash,
        "response_minhash": text.response_minhash,
        "prompt_ngrams": text.prompt_ngrams,
    }
