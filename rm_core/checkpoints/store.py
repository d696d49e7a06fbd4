"""The checkpoints of one training, wherever they lie: which stay, and the newest that all ranks can read."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from data_pipeline.errors import CorruptData
from data_pipeline.storage import (
    delete_folder,
    escaped,
    join,
    list_files,
    list_folders,
    name_of,
    parent_of,
    read_bytes,
    write_atomic,
)
from rm_core.checkpoints.layout import MARKER, Marker, parsed, step_folder, to_bytes
from rm_core.checkpoints.reader import Checkpoint

__all__ = ["CheckpointStore", "Retention", "resume_newest"]


@dataclass(frozen=True, kw_only=True)
class Retention:
    """The newest always stays; what no rule keeps goes."""

    last: int = 2
    """So many of the newest."""
    best: int = 0
    """So many of the lowest score."""
    every: int = 0
    """All whose step is a multiple of it; 0: none for that."""

    def removed(self, scores: Mapping[int, float | None]) -> list[int]:
        """Steps to delete out of step -> score, ascending; of equal scores the newer step stays.

        Of steps 10, 20, 30, 40 with scores 3, 1, 2, 4, ``last=1, best=1`` deletes 10 and 30.
        """
        steps = sorted(scores)
        kept = set(steps[-max(1, self.last) :])
        judged = sorted((score, -step) for step, score in scores.items() if score is not None)
        kept |= {-negative for _, negative in judged[: self.best]}
        kept |= {step for step in steps if self.every and step % self.every == 0}
        return [step for step in steps if step not in kept]


class CheckpointStore:
    """Lists, opens and deletes.

    Args:
        url: the folder of the training's checkpoints, local or ``s3://``; it need not exist yet.
    """

    def __init__(self, url: str) -> None:
        self.url = url

    def complete_steps(self) -> list[int]:
        """Steps with a marker, ascending; a save that did not come to its end is not there."""
        names = (name_of(parent_of(url)) for url in list_files(join(escaped(self.url), "step-*", MARKER)))
        return sorted(int(name.removeprefix("step-")) for name in names if name.removeprefix("step-").isdigit())

    def best_steps(self) -> list[int]:
        """Those with a score, the best one last; of equal scores the newer step."""
        judged = [(score, -step) for step, score in self._scores().items() if score is not None]
        return [-negative for _, negative in sorted(judged, reverse=True)]

    def marker(self, step: int) -> Marker:
        """What `step`'s marker says.

        Raises:
            CorruptData: it is damaged, or of another step.
            MissingInput: there is none.
        """
        url = join(step_folder(self.url, step), MARKER)
        marker = parsed(Marker, read_bytes(url), url)
        if marker.step != step or len(marker.records) != marker.world_size:
            raise CorruptData(
                f"{url!r} is of step {marker.step} and {len(marker.records)} ranks: the folder was renamed"
            )
        return marker

    def judge(self, step: int, score: float) -> None:
        """Give the complete checkpoint of `step` a score; errors as for `marker`."""
        judged = replace(self.marker(step), score=score)
        write_atomic(join(step_folder(self.url, step), MARKER), to_bytes(judged))

    def open(self, step: int, *, rank: int, copies: str) -> Checkpoint:
        """The checkpoint of `step` for reading; errors as for `marker`.

        Args:
            rank: the reader, whose own part is looked into first.
            copies: a folder on this machine for parts that are remote.
        """
        return Checkpoint(step_folder(self.url, step), self.marker(step), rank=rank, copies=copies)

    def prune(self, keep: Retention) -> list[int]:
        """Delete what `keep` doesn't keep, and what earlier saves left unfinished before the newest complete one.

        A marker goes before the rest of its folder, so that what is half deleted is never taken for complete.
        Checkpoints whose marker is damaged stay, for whoever looks for the cause.
        """
        complete = self.complete_steps()
        if not complete:
            return []
        removed = keep.removed(self._scores())
        abandoned = [step for step in self._all_steps() if step not in complete and step < complete[-1]]
        for step in [*removed, *abandoned]:
            delete_folder(step_folder(self.url, step), first=MARKER)
        return removed

    def _scores(self) -> dict[int, float | None]:
        """Of every complete step whose marker is not damaged."""
        scores = {}
        for step in self.complete_steps():
            try:
                scores[step] = self.marker(step).score
            except CorruptData:
                continue
        return scores

    def _all_steps(self) -> list[int]:
        names = (name_of(url).removeprefix("step-") for url in list_folders(self.url))
        return [int(name) for name in names if name.isdigit()]


def resume_newest(
    store: CheckpointStore,
    fill: Callable[[Checkpoint], None],
    *,
    rank: int,
    copies: str,
    agree: Callable[[bool], bool],
    share: Callable[[Any], Any],
    report: Callable[[str], None],
    best: bool = False,
) -> int | None:
    """Fill this rank's state from the newest checkpoint that every rank can read; a collective call.

    Args:
        fill: takes what it needs, without communication; may be called again with another checkpoint.
        best: begin with the one of the lowest score in place of the newest; those without a score are left out.
        agree: whether all ranks say yes.
        share: rank 0's value, on every rank: lists are made once, since files may change in between.
        report: gets which checkpoints were passed over, and why.

    Returns:
        Its step, None where there is no checkpoint at all.

    Raises:
        CorruptData: there are some, and none of them can be read.
        UserError: `fill` refuses one as of another training.
    """
    order = store.best_steps if best else store.complete_steps
    steps: list[int] = share(order() if rank == 0 else None)
    for step in reversed(steps):
        error: CorruptData | None = None
        try:
            with store.open(step, rank=rank, copies=copies) as checkpoint:
                fill(checkpoint)
        except CorruptData as found:
            error = found
        if agree(error is None):
            return step
        if error is not None:
            report(f"the checkpoint of step {step} is passed over: {error}")
    if steps:
        raise CorruptData(
            f"none of the {len(steps)} checkpoints in {store.url!r} can be read: move that folder away to begin anew"
        )
    return None
