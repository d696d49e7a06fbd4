"""Every error this product raises on purpose, as one tree.

    BaserewardError                 the cure is in the message: fact, value, likely cause, what to change
    ├── UserError                   exit code 2: the caller can fix it before anything runs
    │   ├── RecipeError             an unknown key, a wrong type, a value out of range
    │   └── MissingInput            a file, folder or source that is not there
    │       └── AccessDenied        it may be there: this machine may not read it
    ├── RunError                    exit code 1: a run that started could not finish
    │   ├── CorruptData             bytes on disk differ from what their manifest says
    │   ├── NoSpace                 the disk is full: whatever is tried next would fail too
    │   └── Unavailable             a host, store or disk does not answer, or not as it should: it may later
    └── RecordError                 one record is refused; it goes to quarantine with `reason`

`ValueError` is for wrong arguments to a library function, `assert` for our own mistakes.
"""

import re

from data_pipeline.shown import masked

__all__ = [
    "AccessDenied",
    "BaserewardError",
    "CorruptData",
    "MissingInput",
    "NoSpace",
    "RecipeError",
    "RecordError",
    "RunError",
    "Unavailable",
    "UserError",
]


_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


class BaserewardError(Exception):
    """The root: catch this to catch everything the product raises on purpose.

    A message shows no password of an address: it goes to terminals, logs and MLflow.
    """

    def __init__(self, *args: object) -> None:
        super().__init__(*(masked(one) if isinstance(one, str) else one for one in args))


class UserError(BaserewardError):
    """Something the caller can fix before anything runs (exit code 2)."""


class RecipeError(UserError):
    """A recipe or an override is wrong: unknown key, wrong type, value out of range."""


class MissingInput(UserError):
    """A file, folder, source or field that the caller named is not there."""


class AccessDenied(MissingInput):
    """A file that the caller named may be there: this machine may not read it."""


class RunError(BaserewardError):
    """A run that started could not finish (exit code 1)."""


class NoRoom(RunError):
    """The cluster had no room in time (exit code 75): the same command may find some later."""


class CorruptData(RunError):
    """Bytes on disk differ from what their manifest promises."""


class NoSpace(RunError):
    """The disk is full, so that whatever is tried next would fail too."""


class Unavailable(RunError):
    """A host, store or disk does not answer, or not as it should; the same may work later."""


class RecordError(BaserewardError):
    """One record is refused.

    Args:
        reason: a stable, countable word such as ``"empty_response"``; quarantine counts by it.
        detail: the offending value, for the person who reads the quarantine.
        text: the whole line of a file that holds no record, for whoever gives it back.
    """

    def __init__(self, reason: str, detail: str = "", *, text: str | None = None) -> None:
        # Where an object lies in memory differs in every run, and a quarantine must not.
        detail = masked(_ADDRESS.sub("", detail))
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail
        self.text = text

    def __reduce__(self) -> tuple[type["RecordError"], tuple[str, str]]:
        return (RecordError, (self.reason, self.detail))
