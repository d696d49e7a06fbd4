"""Requests of the New Yorker caption contest: a cartoon each, and K captions that people sent in for it.

No two requests of a turn have one cartoon, so that what is saved is saved inside a request; the case ``joined`` asks
for each caption of one cartoon alone.
"""

import base64
import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

__all__ = ["RECORDS", "Request", "requests_of"]

RECORDS = "real/caption_contest/caption_contest.jsonl"
Request = dict[str, Any]


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


def _request(folder: Path, image: str, prompt: str, responses: Sequence[str]) -> Request:
    data = base64.b64encode((folder / image).read_bytes()).decode()
    return {"prompt": prompt, "responses": list(responses), "images": [f"data:image/jpeg;base64,{data}"]}
