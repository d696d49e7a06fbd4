"""The worst failures as a person reads them: pictures, prompt and answers, each with its reward.

Texts and pictures are anybody's: they are escaped as everything on a page, and bounded in number and in bytes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from data_pipeline.inspection.samples import Picture, Sample
from jobs.pages.formats import signed
from jobs.pages.sample_views import MessageView, SampleView, sample_view
from rm_core.evaluation.failures import Failure

__all__ = ["NUM_FAILURES", "SUITE_BYTES", "FailureView", "failure_views"]

NUM_FAILURES = 12
"""On a page."""
_MAX_BYTES = 1_500_000
"""Of all their texts and pictures; escaping may make a text five times as long."""
SUITE_BYTES = 500_000
"""The same of one published benchmark, of which a page may have five."""


@dataclass(frozen=True, kw_only=True)
class FailureView:
    """One Comparison."""

    sample: SampleView
    margin: str
    """Of its most wrong pair."""


def failure_views(
    failures: Sequence[Failure], samples: Sequence[Sample], max_bytes: int | None = None
) -> list[FailureView]:
    """As many of the failures, the worst first, as a page has room for.

    Args:
        samples: what was read of each.
        max_bytes: of all their texts and pictures; None: what a split has.
    """
    found: list[FailureView] = []
    left = _MAX_BYTES if max_bytes is None else max_bytes
    for failure, sample in zip(failures[:NUM_FAILURES], samples, strict=False):
        view = sample_view(sample, failure.rewards)
        left -= _size(view)
        if left < 0:
            break
        found.append(FailureView(sample=view, margin=signed(failure.margin, 2)))
    return found


def _size(view: SampleView) -> int:
    """Bytes of its texts and pictures on a page."""
    return len(view.id) + sum(len(one) if isinstance(one, str) else _of_message(one) for one in view.messages)


def _of_message(message: MessageView) -> int:
    texts = [block for block in message.blocks if isinstance(block, str)]
    pictures = [picture for block in message.blocks if not isinstance(block, str) for picture in block]
    return sum(len(text.encode("utf-8", "replace")) for text in texts) + sum(map(_of_picture, pictures))


def _of_picture(picture: Picture) -> int:
    return len(picture.told) + len(picture.data or "") + 200
