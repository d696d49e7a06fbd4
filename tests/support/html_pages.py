"""Reading a page as a browser would, as far as tests need it."""

from html.parser import HTMLParser

_VOID = {"meta", "img"}
_FETCHING = {"src", "href", "xlink:href", "srcset", "action", "data", "poster"}
_OWN = ("data:image/jpeg;base64,", "data:image/png;base64,", "#")  # inside the page itself


class PageReader(HTMLParser):
    """Collects text and tags, checks that every tag is closed, and lists what would be fetched."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.text: list[str] = []
        self.tags: list[str] = []
        self.fetching: list[str] = []
        self.handlers: list[str] = []
        self.pictures: list[str] = []
        self._open: list[str] = []
        self.feed(html)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.fetching += [
            value or "" for name, value in attrs if name in _FETCHING and not (value or "").startswith(_OWN)
        ]
        self.handlers += [name for name, _ in attrs if name.startswith("on")]
        if tag == "img":
            self.pictures += [value or "" for name, value in attrs if name == "src"]
        if tag not in _VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)
