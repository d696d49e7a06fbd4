"""The shell blocks of a page of the documents, and the lines of them that its test leaves out.

A line that cannot be run here ends with `# untested: WHY`; all others are run as they stand.
"""

import re
from collections import Counter
from dataclasses import dataclass

_BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
_MARK = re.compile(r"#\s*untested: (\S.*?)\s*$")


@dataclass(frozen=True)
class Block:
    """What a reader pastes at once, and the same without the lines that are left out."""

    text: str

    @property
    def run(self) -> str:
        return "".join(line for line in self.text.splitlines(keepends=True) if not _MARK.search(line))

    @property
    def left_out(self) -> list[str]:
        """Why, line by line."""
        return [found.group(1) for line in self.text.splitlines() if (found := _MARK.search(line))]


def blocks_of(page: str) -> list[Block]:
    """Its blocks in order."""
    return [Block(text) for text in _BLOCK.findall(page)]


def untested(blocks: list[Block]) -> dict[str, int]:
    """How many lines are left out, by reason."""
    return dict(Counter(why for block in blocks for why in block.left_out))
