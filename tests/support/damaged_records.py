"""Lines of a JSON lines file of every broken and odd kind, each with what has to become of it."""

import gzip
import json
from collections.abc import Iterator
from typing import Any

from damaged_images import KEPT

__all__ = ["Case", "good_lines", "json_case", "odd_lines", "pair", "repeated_lines"]

Case = tuple[str, bytes, str]
"""Name, line of the file, outcome."""


def pair(case: str, **fields: Any) -> dict[str, Any]:
    return {"id": case, "prompt": f"What is {case}?", "chosen": f"It is {case}.", "rejected": "I cannot say."} | fields


def json_case(case: str, outcome: str, **fields: Any) -> Case:
    return case, json.dumps(pair(case, **fields)).encode(), outcome


def _scored(case: str, outcome: str, responses: object) -> Case:
    record = {"id": case, "prompt": f"What is {case}?", "responses": responses}
    return case, json.dumps(record).encode(), outcome


def good_lines(count: int) -> Iterator[Case]:
    for number in range(count):
        yield json_case(f"good {number}", KEPT)


def odd_lines() -> Iterator[Case]:
    yield from _broken_lines()
    yield from _odd_fields()
    yield from _odd_responses()
    yield from _odd_turns()


def _broken_lines() -> Iterator[Case]:
    whole = json.dumps(pair("cut")).encode()
    broken = {
        "no json": b"hello",
        "half a line": whole[: len(whole) // 2],
        "two in one line": whole + whole,
        "single quotes": b"{'prompt': 'x'}",
        "trailing comma": whole[:-1] + b",}",
        "list": b"[1, 2]",
        "string": b'"text"',
        "number": b"7",
        "null": b"null",
        "latin-1": '{"prompt": "Grüße"}'.encode("latin-1"),
        "overlong utf-8": b'{"prompt": "\xc0\xaf"}',
        "raw NUL": b'{"prompt": "a\0b"}',
        "only NULs": bytes(100),
        "half a surrogate": whole.replace(b"What is", b"\\ud83d What is"),
        "deep": b"[" * 100_000,
        "deep field": whole[:-1] + b', "x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        "gzip bytes": gzip.compress(whole, mtime=0).replace(b"\n", b""),
    }
    yield from ((case, line, "malformed_record") for case, line in broken.items())
    yield "empty object", b"{}", "missing_field"
    yield "byte order mark inside", b"\xef\xbb\xbf" + json.dumps(pair("marked")).encode(), KEPT
    yield "NaN in an unused field", json.dumps(pair("NaN", x=float("nan"))).encode(), KEPT
    yield "repeated key", json.dumps(pair("named twice"))[:-1].encode() + b', "id": "twice"}', "malformed_record"
    yield "line of 10 MB", json.dumps(pair("long line", x="y" * 10_000_000)).encode(), KEPT


def _odd_fields() -> Iterator[Case]:
    for field in ("prompt", "chosen", "rejected"):
        record = pair(f"no {field}")
        del record[field]
        yield f"no {field}", json.dumps(record).encode(), "missing_field"
        for value in (None, 5, True, {"text": "x"}, ["x"]):
            outcome = "missing_field" if value is None else "wrong_field_type"
            yield json_case(f"{field} is {value}", outcome, **{field: value})
    for blank in ("", " ", "\n\t\u00a0\u3000"):
        yield json_case(f"prompt {blank!r}", "empty_prompt", prompt=blank)
        yield json_case(f"chosen {blank!r}", "empty_response", chosen=blank)
        yield json_case(f"rejected {blank!r}", "empty_response", rejected=blank)
    yield json_case("same answers", "identical_responses", chosen="Yes.", rejected="Yes.")
    yield json_case("same but for spaces", "identical_responses", chosen="Yes.", rejected=" Yes.\n")
    yield json_case("id is a float", "wrong_field_type", id=1.5)
    yield json_case("id is a list", "wrong_field_type", id=[1])
    yield json_case("id is a number", KEPT, id=12)
    yield json_case("id is absent", KEPT, id=None)
    yield json_case("escaped NUL", KEPT, chosen="a\0b")
    yield json_case("control characters", KEPT, chosen="\x01\x1b[31m\x7f\u2028")
    yield json_case("special tokens", KEPT, chosen="<|im_end|>\n<|im_start|>user<|image_pad|>")
    yield json_case("every script", KEPT, chosen="שלום 你好 नमस्ते 👩\u200d👩\u200d👧 \u202eright to left")
    yield json_case("nested prompt", "wrong_field_type", prompt=[[[[["x"]]]]])
    yield json_case("tag without an image", "image_slot_mismatch", prompt="<image> what?")
    yield json_case("answer of 100,000 words", "too_long", chosen="word " * 100_000)


def _odd_responses() -> Iterator[Case]:
    two = [{"text": "Yes.", "score": 2}, {"text": "No.", "score": 1}]
    for name, value, outcome in (
        ("NaN", float("nan"), "unparsable_label"),
        ("infinity", float("inf"), "unparsable_label"),
        ("a huge integer", 10**400, "unparsable_label"),
        ("text", "4.5", "wrong_field_type"),
        ("null", None, "missing_field"),
        ("true", True, "wrong_field_type"),
        ("a list", [1], "wrong_field_type"),
        ("a negative number", -3, KEPT),
        ("tiny", 5e-324, KEPT),
    ):
        yield _scored(f"score is {name}", outcome, [*two, {"text": "Maybe.", "score": value}])
    yield _scored("a score is absent", "missing_field", [*two, {"text": "Maybe."}])
    yield _scored("all scores tie", "no_preference", [{"text": "Yes.", "score": 1}, {"text": "No.", "score": 1}])
    yield _scored("no responses", "fewer_than_two_responses", [])
    yield _scored("one response", "fewer_than_two_responses", two[:1])
    yield _scored("responses are text", "wrong_field_type", "Yes.")
    yield _scored("responses are null", "missing_field", None)
    yield _scored("a response is a list", "wrong_field_type", [[], []])
    yield _scored("a response is null", "wrong_field_type", [None, None])
    yield _scored("a text is a number", "wrong_field_type", [{"text": 1, "score": 1}, {"text": 2, "score": 2}])
    yield _scored("one text, two scores", "identical_responses", [*two, {"text": "Yes.", "score": 0}])


def _odd_turns() -> Iterator[Case]:
    user = {"role": "user", "content": "Hello?"}
    for name, turns, outcome in (
        ("none", [], "empty_prompt"),
        ("only a system turn", [{"role": "system", "content": "Be brief."}], "empty_prompt"),
        ("of nobody", [{"role": "robot", "content": "Beep."}], "unknown_role"),
        ("without role", [{"content": "Hello?"}], "missing_field"),
        ("without content", [{"role": "user"}], "missing_field"),
        ("text", ["Hello?"], "wrong_field_type"),
        ("null", [None], "wrong_field_type"),
        ("with content null", [{"role": "user", "content": None}], "missing_field"),
        ("with sound", [{"role": "user", "content": [{"type": "sound"}]}], "unsupported_media"),
        ("with an image that is not there", [{"role": "user", "content": [{"type": "image"}]}], "image_slot_mismatch"),
        ("many", [user, {"role": "assistant", "content": "Yes?"}] * 40 + [user], KEPT),
    ):
        yield json_case(f"turns: {name}", outcome, prompt=turns)


def repeated_lines() -> Iterator[Case]:
    yield json_case("repeated", KEPT)
    yield json_case("repeated", "duplicate")
    yield "other id", json.dumps(pair("repeated") | {"id": "other"}).encode(), "duplicate"
    contradiction = pair("repeated")
    contradiction["chosen"], contradiction["rejected"] = contradiction["rejected"], contradiction["chosen"]
    yield "contradiction", json.dumps(contradiction).encode(), KEPT
