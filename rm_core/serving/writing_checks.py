"""What is refused of a row before anything is written of it: critiques nobody reads, and too much to write."""

from collections.abc import Sequence

from data_pipeline.errors import RecordError
from rm_core.serving.member import Member

__all__ = ["check_given", "check_written"]


def check_given(members: Sequence[Member], *, has_critiques: bool, of_ensemble: bool) -> None:
    """Refuse critiques that nobody reads or that the scale was not measured with, and a row that lacks them.

    Args:
        members: that are asked about the row.

    Raises:
        RecordError: unexpected_critiques, missing_critique.
    """
    critics = [one for one in members if one.is_critic]
    if has_critiques and not critics:
        raise RecordError("unexpected_critiques", "no critic reads them: leave critiques out")
    if has_critiques and of_ensemble and any(one.writes for one in critics):
        raise RecordError(
            "unexpected_critiques",
            "the scale of this ensemble was measured with critiques that its critics write: leave critiques out",
        )
    if not has_critiques and any(not one.writes for one in critics):
        raise RecordError(
            "missing_critique",
            "this critic reads given critiques: send critiques, one for each response, or have it write them "
            "(serve.critiques.source=written; of an ensemble, critiques of its member)",
        )


def check_written(members: Sequence[Member], num_responses: int, most: int, *, has_critiques: bool) -> None:
    """Refuse a row of which more than `most` tokens might be written.

    Raises:
        RecordError: too_many_verdicts where judges write most of it, else too_many_critiques.
    """
    by_judges, by_critics = (
        sum(one.most_written(num_responses, has_critiques=has_critiques) for one in members if one.is_judge is judges)
        for judges in (True, False)
    )
    if by_judges + by_critics <= most:
        return
    kind = "verdicts" if by_judges > by_critics else "critiques"
    raise RecordError(
        f"too_many_{kind}",
        f"up to {by_judges + by_critics} tokens would be written of {num_responses} responses, at most {most} are "
        f"(serve.max_written_tokens): send fewer responses, or lower serve.{kind}.number or max_tokens",
    )
