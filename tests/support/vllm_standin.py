"""A Python that stands in for one with vLLM: it speaks `vllm_worker`'s lines, and what it writes is told beforehand."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

_PROGRAM = """#!{python}
import json, sys
texts = json.loads({texts!r})
settings = json.load(open(sys.argv[2]))
with open(int(sys.argv[3]), "w", buffering=1) as answers:
    answers.write(json.dumps({{"ready": True}}) + "\\n")
    for line in sys.stdin:
        asked = json.loads(line)
        open({log!r}, "a").write(line)
        if asked["seconds"] == 0:
            answers.write(json.dumps({{"late": True}}) + "\\n")
            continue
        number = settings["sampling"]["n"]
        tokens = [[texts[place % len(texts)]] * number for place in range(len(asked["prompts"]))]
        answers.write(json.dumps({{"tokens": tokens}}) + "\\n")
"""


def write_standin(folder: Path, texts: Sequence[Sequence[int]]) -> str:
    """The program's place; `asked_of` tells what it was asked.

    Args:
        texts: tokens of what it writes behind the first prompt of a question, behind the second, and so on.
    """
    place = folder / "python-with-vllm"
    program = _PROGRAM.format(
        python=sys.executable, texts=json.dumps([list(one) for one in texts]), log=str(folder / "asked.jsonl")
    )
    place.write_text(program, encoding="utf8")
    place.chmod(0o755)
    return str(place)


def asked_of(folder: Path) -> list[dict[str, object]]:
    """What the program in `folder` was asked, in order."""
    return [json.loads(line) for line in (folder / "asked.jsonl").read_text(encoding="utf8").splitlines()]
