"""Requests of the New Yorker caption contest: a cartoon each, and K captions that people sent in for it.

k1, k4, k8   no two requests of a turn have one cartoon, so that what is saved is saved inside a request
joined       each caption of one cartoon alone, several at once
later        captions of one cartoon alone, 16 or more, each after the answer to the one before; another in every turn
"""

import base64
import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["CASES", "RECORDS", "Case", "Request", "cases_of", "requests_of"]

RECORDS = "real/caption_contest/caption_contest.jsonl"
CASES = {"k1": 1, "k4": 4, "k8": 8}
"""Case -> responses a request."""
_LATER = 16
"""Responses that a trainer samples of a prompt, at least."""
Request = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Case:
    """What is asked, and of whom.

    Attributes:
        turns: the requests of each turn.
        sides: the first is compared with the last.
        one_by_one: no request is sent before the one before it is answered.
    """

    turns: Sequence[Sequence[Request]]
    sides: tuple[str, ...] = ("ours", "naive")
    one_by_one: bool = False


def cases_of(data: Path, count: int, turns: int) -> dict[str, Case]:
    """All cases, of so many requests a turn."""
    cases = {name: Case(turns=[requests_of(data, count, number)] * turns) for name, number in CASES.items()}
    [joined] = requests_of(data, 1, count)
    cases["joined"] = Case(turns=[_one_each(joined)] * turns)
    later = [_one_each(whole) for whole in requests_of(data, turns, max(count, _LATER))]
    cases["later"] = Case(turns=later, sides=("cached", "ours", "naive"), one_by_one=True)
    return cases


def requests_of(data: Path, count: int, num_responses: int) -> list[Request]:
    """Bodies for ``/score``, the same every time."""
    captions: dict[str, list[str]] = defaultdict(list)
    prompts: dict[str, str] = {}
    with open(data / RECORDS, encoding="utf8") as file:
        for line in file:
            record = json.loads(line)
            prompts[record["image"]] = record["prompt"]
            captions[record["image"]] += [one["text"] for one in record["responses"]]
    chosen = [image for image, texts in sorted(captions.items()) if len(texts) >= num_responses]
    folder = (data / RECORDS).parent
    return [_request(folder, image, prompts[image], captions[image][:num_responses]) for image in chosen[:count]]


def _one_each(whole: Request) -> list[Request]:
    """A request for each response."""
    return [whole | {"responses": [one]} for one in whole["responses"]]


def _request(folder: Path, image: str, prompt: str, responses: Sequence[str]) -> Request:
    data = base64.b64encode((folder / image).read_bytes()).decode()
    return {"prompt": prompt, "responses": list(responses), "images": [f"data:image/jpeg;base64,{data}"]}
