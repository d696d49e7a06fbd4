"""Another model says whether a judge's reasoning agrees with its verdict, as R1-Reward has it.

    texts of a step --not asked before--> one question each, `concurrency` under way at once
      -> yes, no, or neither    kept in a folder as soon as it is there: nothing is asked twice, also after a kill
      -> no answer at all       ends the work, or leaves the text undecided, to be asked about again

Only a plain ``yes`` or ``no`` says anything; what can't be read, and what the server refuses, is never made into one.
"""

import asyncio
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

from data_pipeline.errors import Unavailable
from rm_core.evaluation.judge.endpoint import Endpoint, Refused, Unanswered
from rm_core.evaluation.judge.endpoint_config import OF_HOW, key_of
from rm_core.evaluation.judge.verdicts import said_in
from rm_core.rl.config import ConsistencyConfig
from rm_core.rl.judging import Agreement, Judged
from rm_core.rl.kept_answers import KeptAnswers

__all__ = ["CONSISTENCY", "CONSISTENCY_FOLDER", "ConsistencyJudge", "agreement_of", "counted"]

CONSISTENCY = "rl.reward.consistency"
"""The section of the model that says what is consistent."""
CONSISTENCY_FOLDER = "consistency"
"""Below the output, for what it said."""
_WORDS = {"yes": True, "no": False}


class ConsistencyJudge:
    """An `Agreement` by a language model behind an address.

    Args:
        folder: keeps answers; several processes may share it.
        note: told of tries without an answer.

    Raises:
        MissingInput: the variable of the key is not set here.
    """

    def __init__(self, config: ConsistencyConfig, folder: str, note: Callable[[str], None]) -> None:
        self._config = config
        self._key = key_of(config, CONSISTENCY)
        self._note = note
        self._kept = KeptAnswers(folder)
        said = {name: value for name, value in asdict(config).items() if name not in (*OF_HOW, "url")}
        self._asked_of = json.dumps(said, sort_keys=True)
        self._answers = False

    def __call__(self, texts: Sequence[Judged]) -> list[bool | None]:
        """Ask about those that were not asked about before.

        Raises:
            BaserewardError: the model takes no question, or gives no answer; what is answered is kept.
        """
        names = [self._name(one) for one in texts]
        missing = {name: one for name, one in zip(names, texts, strict=True) if name not in self._kept}
        if missing:
            self._ask(missing)
        return [None if (found := self._kept.get(name)) is None else found["agrees"] for name in names]

    def _name(self, one: Judged) -> str:
        """Of a question: the same words to the same model have one."""
        return hashlib.sha256(json.dumps([self._asked_of, one.why.strip(), one.verdict]).encode()).hexdigest()

    def _ask(self, missing: Mapping[str, Judged]) -> None:
        repeated: Counter[str] = Counter()
        try:
            failures = asyncio.run(self._ask_all(missing, repeated))
        finally:
            self._kept.settle()
            if repeated:
                kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(repeated.items()))
                self._note(f"{CONSISTENCY}: tries without an answer: {kinds}")
        self._raise_first(failures)

    async def _ask_all(self, missing: Mapping[str, Judged], repeated: Counter[str]) -> list[BaseException]:
        """Ask everything, whatever becomes of one question; what went wrong."""
        async with Endpoint(self._config, self._key, CONSISTENCY) as endpoint:
            if not self._answers:
                await endpoint.try_out()
                self._answers = True
            asked = (self._ask_one(endpoint, name, one, repeated) for name, one in missing.items())
            found = await asyncio.gather(*asked, return_exceptions=True)
        return [one for one in found if one is not None]

    async def _ask_one(self, endpoint: Endpoint, name: str, one: Judged, repeated: Counter[str]) -> None:
        try:
            reply = await endpoint.ask(partial(_content, self._config.template, one), repeated)
        except Refused as error:
            answer: dict[str, Any] = {"agrees": None, "why": f"refused: {error}"}
        else:
            agrees = _WORDS.get((said_in(reply.text) or "").casefold())
            answer = {"agrees": agrees, "tokens_read": reply.tokens_read, "tokens_written": reply.tokens_written}
            if agrees is None:
                answer["why"] = f"unread: {reply.excerpt!r}"
        await asyncio.to_thread(self._kept.keep, name, answer)

    def _raise_first(self, failures: Sequence[BaseException]) -> None:
        for one in failures:
            if not isinstance(one, Unanswered):
                raise one
        if failures and self._config.unanswered == "fail":
            raise Unavailable(
                f"nobody says whether a reasoning agrees with its verdict: {failures[0]}; what is answered is kept: "
                f"give the same command again once {self._config.url} is up, or learn nothing from such texts: see "
                f"{CONSISTENCY}.unanswered"
            ) from failures[0]
        if failures:
            self._note(f"{CONSISTENCY}: nothing is learnt from {len(failures)} texts: {failures[0]}")


def agreement_of(config: ConsistencyConfig, folder: str, note: Callable[[str], None]) -> Agreement | None:
    """What asks the model that `config` names; None: it names none."""
    return None if config.url is None else ConsistencyJudge(config, folder, note)


def counted(folder: str) -> Counter[str]:
    """What is kept: ``texts``, of which ``yes``, ``no``, ``unread`` and ``refused``, and the tokens, as far as told."""
    found: Counter[str] = Counter()
    for answer in KeptAnswers(folder):
        found["texts"] += 1
        found[{True: "yes", False: "no"}.get(answer["agrees"]) or answer["why"].partition(":")[0]] += 1
        for name in ("tokens_read", "tokens_written"):
            found[name] += answer.get(name) or 0
    return found


def _content(template: str, one: Judged) -> list[dict[str, Any]]:
    """The question; what stands in braces in a reasoning means nothing."""
    places = {"{reasoning}": one.why.strip(), "{verdict}": str(one.verdict + 1)}
    first, second = sorted(places, key=template.index)
    before, _, rest = template.partition(first)
    between, _, behind = rest.partition(second)
    return [{"type": "text", "text": f"{before}{places[first]}{between}{places[second]}{behind}"}]
