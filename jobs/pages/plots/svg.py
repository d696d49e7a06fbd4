"""A Matplotlib figure as an ``<svg>`` element of a page.

What Matplotlib writes is a document of its own. Inside a page its colours become the page's variables, so that light
and dark both fit; its font becomes the page's; `tip` texts become titles that a browser shows on hover and a screen
reader reads; and identifiers that nothing refers to go away, because a page has many figures.
"""

import io
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from jobs.pages.plots import style

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.figure import Figure

__all__ = ["Svg", "tip", "to_svg"]

_VARIABLES = {
    style.MARK: "--mark",
    style.OTHER: "--other",
    style.HELD_OUT: "--held",
    style.LIMIT: "--limit",
    style.INK: "--ink",
    style.SOFT: "--soft",
    style.LINE: "--line",
    style.CHANCE: "--chance",
    style.CARD: "--card",
}
_TIP = "tip:"
_NO_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML has no room for: labels come from data."""
_NAMESPACE = re.compile(r"^\{[^}]*\}")
_LONG_NUMBER = re.compile(r"-?\d+\.\d{3,}")
_COLOUR = re.compile(r"#[0-9a-f]{6}\b")
_REFERENCE = re.compile(r"#([\w.-]+)\)?$")


@dataclass(frozen=True)
class Svg:
    """One drawing that goes into a page as it is."""

    text: str


def tip(artist: "Artist", text: str) -> None:
    """Show `text` where a reader points at `artist`."""
    artist.set_gid(_TIP + text)


def to_svg(figure: "Figure", name: str) -> Svg:
    """`figure`, drawn inside `plot_style`, as an element that scales with its column.

    Args:
        name: what a screen reader calls the drawing; figures of one page have different ones.
    """
    from matplotlib import rc_context

    sink = io.StringIO()
    with rc_context({"svg.hashsalt": name}), style.no_glyph_warnings():
        figure.savefig(sink, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    document = _NO_XML.sub(" ", sink.getvalue())
    root = ET.fromstring(document)  # noqa: S314 - Matplotlib has just written it
    used = {match[1] for one in root.iter() for match in map(_REFERENCE.search, one.attrib.values()) if match}
    _clean(root, used)
    root.attrib = {"viewBox": root.attrib["viewBox"], "role": "img", "aria-label": _NO_XML.sub(" ", name)}
    return Svg(ET.tostring(root, encoding="unicode"))


def _clean(element: ET.Element, used: set[str]) -> None:
    """Change `element` and all inside it from a document's to a page's; `used`: identifiers that are referred to."""
    element.tag = _NAMESPACE.sub("", element.tag)
    element.attrib = {_NAMESPACE.sub("", key): _attribute(key, value) for key, value in element.attrib.items()}
    element.text = (element.text or "").strip()
    element.tail = ""
    if element.attrib.get("transform", "").startswith("rotate(-0 "):
        del element.attrib["transform"]
    for child in list(element):
        _clean(child, used)
        if child.tag in ("metadata", "style") or (child.tag in ("g", "defs") and not len(child)):
            element.remove(child)
    identifier = element.attrib.get("id", "")
    if identifier not in used:
        element.attrib.pop("id", None)
    if identifier.startswith(_TIP):
        title = ET.Element("title")
        title.text = identifier.removeprefix(_TIP)
        element.insert(0, title)


def _attribute(key: str, value: str) -> str:
    if key == "style":
        parts = [part for part in value.split("; ") if not part.startswith("font-family:")]
        return _COLOUR.sub(_variable, ";".join(part.replace(": ", ":") for part in parts))
    if key in ("d", "x", "y", "width", "height", "transform", "points"):
        return _LONG_NUMBER.sub(lambda match: f"{float(match[0]):.2f}", " ".join(value.split()))
    return value


def _variable(match: re.Match[str]) -> str:
    name = _VARIABLES.get(match[0])
    return match[0] if name is None else f"var({name})"
