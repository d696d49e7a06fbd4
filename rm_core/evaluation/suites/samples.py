"""Some rows of a suite to look at, with their pictures."""

from collections.abc import Sequence
from dataclasses import replace

from data_pipeline.config import MediaConfig
from data_pipeline.errors import BaserewardError
from data_pipeline.inspection.samples import Sample, plain_samples
from data_pipeline.media import frames_of, load_image
from data_pipeline.records.comparison import MediaRef
from rm_core.evaluation.suites.files import SuiteData, comparisons_in

__all__ = ["suite_samples"]


def suite_samples(data: SuiteData, media: MediaConfig, places: Sequence[int]) -> list[Sample]:
    """The rows at `places`, in that order; in place of a picture that can't be had stands why.

    Each is called as in what was scored, since ids repeat. Rewards that were given say nothing of pictures, so nobody
    has asked for them before.
    """
    wanted = set(places)
    rows = enumerate(comparisons_in(data, 0, max(wanted, default=-1) + 1))
    found = {index: replace(one, id=f"{index} {one.id}") for index, one in rows if index in wanted}
    return plain_samples(
        [(found[place], [_files(ref, data.media_root, media) for ref in found[place].media]) for place in places]
    )


def _files(ref: MediaRef, root: str, media: MediaConfig) -> list[bytes] | str:
    """A picture, or the frames of a video; or why there are none."""
    try:
        refs = frames_of(ref, root, media).refs if ref.is_video else (ref,)
        return [load_image(one, root, media).data for one in refs]
    except BaserewardError as error:
        return str(error)
