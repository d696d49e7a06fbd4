"""One raw file of a source, as its adapter's own index or the recipe names it."""

from dataclasses import dataclass

__all__ = ["SourceFile"]


@dataclass(frozen=True)
class SourceFile:
    """A file of records.

    Attributes:
        url: the file.
        media_root: what its image paths start from; None: as the recipe says.
        repeat: how often an epoch shows its Comparisons, by the set's own index.
    """

    url: str
    media_root: str | None = None
    repeat: float = 1.0
