"""Passwords in addresses, and what data may do to a terminal or a Markdown page."""

import doctest
import pickle

import pytest

from data_pipeline import shown
from data_pipeline.errors import MissingInput, RecordError
from data_pipeline.shown import has_secret, markdown, masked, one_line, printable

WITH_SECRETS = {
    "http://bob:SECRETPW@127.0.0.1:5077": "http://***@127.0.0.1:5077",
    "https://SECRETPW@host/x": "https://***@host/x",
    "http://:SECRETPW@host": "http://***@host",
    "http://bob:SECRETPW@x@host:1/a": "http://***@host:1/a",
    "http://bob:SECRE/TPW@host": "http://***@host",
    "http://bob:SECRE#TPW?@host": "http://***@host",
    "s3://KEY:SECRETPW@bucket/a": "s3://***@bucket/a",
    "hf://SECRETPW@datasets/o/n": "hf://***@datasets/o/n",
    "postgresql+psycopg2://u:SECRETPW@h:5432/d": "postgresql+psycopg2://***@h:5432/d",
    "sqlite://u:SECRETPW@/x.db": "sqlite://***@/x.db",
    "https://h/a.png?w=1&X-Amz-Signature=SECRETPW&b=2": "https://h/a.png?w=1&X-Amz-Signature=***&b=2",
    "https://h/a?sv=1&sig=SECRETPW": "https://h/a?sv=1&sig=***",
    "https://h/a?access_token=SECRETPW": "https://h/a?access_token=***",
    "https://h/a?api_key=SECRETPW;x": "https://h/a?api_key=***;x",
    "https://h/a?jwt=SECRETPW": "https://h/a?jwt=***",
    "https://h/a?bearer=SECRETPW&session_id=SECRETPW": "https://h/a?bearer=***&session_id=***",
    "https://h/a#id_token=SECRETPW": "https://h/a#id_token=***",
    "https://h/a?AWSAccessKeyId=SECRETPW&Expires=1": "https://h/a?AWSAccessKeyId=***&Expires=1",
    "two: http://a:SECRETPW@x, 's3://b:SECRETPW@y/z'": "two: http://***@x, 's3://***@y/z'",
}
WITHOUT = (
    "s3://bucket/a@b.json", "hf://datasets/org/name@abc123/x.parquet", "http://host:5000/a@b", "http://[::1]:5000/x@y",
    "sqlite:////home/a@b/mlflow.db", "models:/name@champion", "mail bob@host.org", "https://h/a.png?w=1&design=2",
    "http://host:8265, then a@b", "a:b@c",
)  # fmt: skip


@pytest.mark.parametrize("text", WITH_SECRETS)
def test_a_secret_in_an_address_is_masked(text: str) -> None:
    assert has_secret(text)
    assert masked(text) == WITH_SECRETS[text]
    assert "SECRET" not in masked(text) and masked(masked(text)) == masked(text)


@pytest.mark.parametrize("text", WITHOUT)
def test_an_address_without_a_secret_stays(text: str) -> None:
    assert masked(text) == text and not has_secret(text)


def test_every_error_masks_its_message_also_after_a_journey() -> None:
    for error in (MissingInput("no http://u:SECRETPW@h/x"), RecordError("remote_media", "https://h/a?sig=SECRETPW")):
        again = pickle.loads(pickle.dumps(error))
        assert "SECRETPW" not in str(error) + str(again) + repr(error)
    assert RecordError("remote_media", "https://u:SECRETPW@h").detail == "https://***@h"


HOSTILE = (
    "\x1b[2J\x1b[1;1H", "\x1b]0;title\x07", "\x9b2J",
    "a\rTrained evil: accuracy 0.999", "a\nTrained evil: accuracy 0.999",
    "a\x85b\u2028c\u2029d", "\u202eevil\u2066", "\x00\x08\x7f", "\ud800", "\u200b\ufeff",
)  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE)
def test_what_data_says_is_one_line_without_terminal_codes(text: str) -> None:
    line = one_line(text)
    assert line.isprintable() and len(line.splitlines()) <= 1
    assert "\n".join(printable(text).split("\n")).replace("\n", "").replace("\t", "").isprintable()
    assert len(one_line("x" * 10_000)) == 200


@pytest.mark.parametrize(
    "text",
    ["## Results\n\n| all | 1.0 |", "<img src=x onerror=alert(1)>", "[here](http://evil)",
     "`code`", "**bold** _it_", "a | b",
     "![x](https://evil/x.png)", "$$x$$", "~~gone~~", "&lt;b&gt;", "    indented",
     "1. list", "- list", "=====", "http://evil.org/x", "@somebody"],
)  # fmt: skip
def test_what_data_says_is_only_words_in_markdown(text: str) -> None:
    from markdown_it import MarkdownIt

    for place in (f"Words: {markdown(text)} end", f"| a | b |\n| - | - |\n| {markdown(text)} | c |"):
        tokens = MarkdownIt("commonmark", {"html": True, "linkify": False}).enable("table").parse(place)
        kinds = {one.type for token in tokens for one in (token, *(token.children or []))}
        wanted = {"inline", "text", "paragraph_open", "paragraph_close", "text_special"}  # words alone
        assert {k for k in kinds if not k.startswith(("table", "thead", "tbody", "tr_", "th_", "td_"))} <= wanted
        assert sum(token.type in ("td_open", "th_open") for token in tokens) in (0, 4)


def test_the_examples() -> None:
    assert doctest.testmod(shown).failed == 0
