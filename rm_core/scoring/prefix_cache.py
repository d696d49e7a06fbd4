"""Prefixes that were computed lately: their keys and values, found by content.

tokens of a prefix, content and sizes of its images -> `PrefixStates`, up to so many bytes: the oldest asked for goes

Made for the many responses to one prompt that a reinforcement-learning trainer sends one after the other. A reward
found by it equals the one without: see `rm_core.model.attention.prefixes`.
"""

from collections import Counter, OrderedDict
from collections.abc import Sequence

from data_pipeline.encoding.encoder import EncodedComparison
from data_pipeline.encoding.spans import EncodedVideo, VisionSpan
from rm_core.model.attention import PrefixStates, RowPrefixes

__all__ = ["PrefixCache", "PrefixKey", "prefix_key"]

PrefixKey = tuple[bytes, tuple[tuple[str, int, int, float], ...]]
ModelKey = tuple[str, *PrefixKey]
"""A model's name, and a prefix; the models that share a cache have different names."""


class PrefixCache:
    """Keys and values by prefix, of one model or several; used by one thread at a time.

    Args:
        max_bytes: held at most; a larger prefix is not kept.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._held: OrderedDict[ModelKey, PrefixStates] = OrderedDict()
        self._num_bytes = 0
        self._tokens: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._held)

    @property
    def num_bytes(self) -> int:
        """That are held."""
        return self._num_bytes

    @property
    def tokens_found(self) -> int:
        """Of prefixes that were not computed, since they were found; by the model that found most."""
        return max(self._tokens.values(), default=0)

    def find(self, keys: Sequence[ModelKey]) -> RowPrefixes:
        """What is known of a row's prefixes, which then go last; the others are to be kept."""
        known = {place: self._held[key] for place, key in enumerate(keys) if key in self._held}
        for place, states in known.items():
            self._held.move_to_end(keys[place])
            self._tokens[keys[place][0]] += states.num_tokens
        return RowPrefixes(known=known, keep=[place for place in range(len(keys)) if place not in known])

    def keep(self, keys: Sequence[ModelKey], prefixes: RowPrefixes) -> None:
        """Hold what a row has kept, and let others go that were not asked for longest."""
        for place, states in prefixes.kept().items():
            if states.num_bytes <= self._max_bytes and keys[place] not in self._held:
                self._hold(keys[place], states)

    def _hold(self, key: ModelKey, states: PrefixStates) -> None:
        self._held[key] = states
        self._num_bytes += states.num_bytes
        while self._num_bytes > self._max_bytes:
            _, oldest = self._held.popitem(last=False)
            self._num_bytes -= oldest.num_bytes


def prefix_key(item: EncodedComparison, images: Sequence[VisionSpan]) -> PrefixKey:
    """The same for prefixes of the same tokens and images.

    Args:
        images: those of the prefix.
    """
    return item.prefix_ids.tobytes(), tuple(map(_look, images))


def _look(span: VisionSpan) -> tuple[str, int, int, float]:
    """What the model sees of an image, or of a video, whose frames have places in time."""
    return span.key, span.height, span.width, span.seconds_per_step if isinstance(span, EncodedVideo) else 0.0
