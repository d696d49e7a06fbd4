"""Text that a person will see: addresses without their passwords, and what data says as words alone.

`masked` belongs to every text that leaves a process: errors, terminal, logs, MLflow, pages. `one_line` and `markdown`
belong to what comes from a record, a folder or a file, such as an id: it may hold terminal codes, line breaks and
headings, and would be taken for ours.
"""

import json
import re

__all__ = ["has_secret", "markdown", "masked", "one_line", "printable", "printable_json", "unwrapped"]

MASK = "***"

_USER = re.compile(
    # ://USER:PASSWORD@ and ://TOKEN@; a password may hold "@"
    r"(?<=://)(?:[^/?#\s'\"]*@"
    # a password with "/", "?" or "#", which belong encoded: what follows the colon is no port
    r"|[^/?#@\s:\[]*:(?!\d+(?:[/?#\s]|$))[^\s@]*@)"
)
_QUERY = re.compile(
    r"(?<=[?&;#])(?P<name>(?:[\w.-]*(?:token|secret|passw(?:or)?d|pwd|signature|credential|api-?_?key|access-?_?key(?:-?_?id)?)"
    r"|sig|key|auth|authorization|bearer|jwt|session(?:-?_?id)?))=[^&;#\s'\"]+",
    re.IGNORECASE,
)
_MARKDOWN = str.maketrans({one: f"\\{one}" for one in "\\`*_[]#|~"} | {one: f"&#{ord(one)};" for one in "<>&$@"})
"""Escapes that CommonMark and the converter of MLflow's pages (showdown) both read; that one also links @names and
bare addresses."""


def masked(text: str) -> str:
    """`text` with ``***`` for passwords and tokens in its addresses.

    >>> masked("http://bob:SECRET@host:5000/x"), masked("s3://bucket/a@b.json"), masked("https://host/a.png?sig=AB&w=1")
    ('http://***@host:5000/x', 's3://bucket/a@b.json', 'https://host/a.png?sig=***&w=1')
    """
    if "://" not in text:
        return text
    return _QUERY.sub(rf"\g<name>={MASK}", _USER.sub(f"{MASK}@", text))


def has_secret(text: str) -> bool:
    """Whether an address in `text` holds a password, a token or a signature."""
    return masked(text) != text


def printable(text: str) -> str:
    r"""`text` with its lines and tabs kept, and nothing else in it that a terminal obeys.

    >>> printable("a\x1b[2Jb\r\n\tc")
    'a�[2Jb�\n\tc'
    """
    return "".join(c if c.isprintable() or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in text)


def one_line(text: str, limit: int = 200) -> str:
    r"""What data says, as it may stand in a line of ours: one line, nothing a terminal obeys, no longer than `limit`.

    >>> one_line("a\x1b[2J\nTrained: 0.99")
    'a�[2J�Trained: 0.99'
    """
    shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in masked(text[: 2 * limit]))
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def markdown(text: str, limit: int = 200) -> str:
    r"""What data says, as words within a line of Markdown: `one_line`, with the marks of Markdown and HTML escaped.

    >>> print(markdown("## Results <b> | 1"))
    \#\# Results &#60;b&#62; \| 1
    """
    return one_line(text, limit).translate(_MARKDOWN).replace("://", ":&#47;/")


def unwrapped(text: str) -> str:
    r"""A text of several lines as one, for `one_line` and `markdown` to show without marks for its line ends.

    >>> unwrapped("no room:\n  12 GB")
    'no room: 12 GB'
    """
    return " ".join(text.split())


def printable_json(text: str) -> str:
    r"""JSON with escapes for what a terminal might obey: the same values, and nothing lost.

    >>> print(printable_json('{"id": "a\x9b2J"}'))
    {"id": "a\u009b2J"}
    """
    return "".join(c if c.isprintable() or c == "\n" else _json_escape(c) for c in text)


def _json_escape(character: str) -> str:
    return json.dumps(character)[1:-1]
