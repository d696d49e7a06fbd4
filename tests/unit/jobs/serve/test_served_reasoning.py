"""Judges that reason behind HTTP and `mlflow.pyfunc`: rewards, texts and errors are those of `basereward score`."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from jinja2 import Template
from judge_toys import ENCODE
from paradigm_lab import body, lab_of, refused
from paradigm_models import JUDGING, ParadigmModels, serving
from serve_lab import Lab

from data_pipeline.encoding.reading import Reading
from data_pipeline.encoding.template import chat_template
from data_pipeline.errors import RecordError
from jobs.registry.pyfunc_model import one_model
from rm_core.generation.config import CritiquesConfig, VerdictsConfig
from rm_core.model_folder.reading import reading_of
from rm_core.rl.scoring import LoadedScores
from rm_core.serving.served_model import ServedModel

PROMPT = "Name a bird."
ROWS: list[dict[str, Any]] = [
    {"prompt": PROMPT, "responses": ["A wren.", "A bus.", "It is red."], "images": None},
    {"prompt": PROMPT, "responses": ["A robin.", "No."], "images": None},
    {"prompt": "<image> Which colours are there?", "responses": ["Red.", "It is a bus."], "images": ["a.png"]},
]
SHORT = VerdictsConfig(max_tokens=3)
"""Too few tokens for any verdict."""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> ParadigmModels:
    return ParadigmModels(tmp_path_factory.mktemp("paradigms"))


@pytest.fixture(scope="module")
def judge(models: ParadigmModels) -> Iterator[Lab]:
    with lab_of(models, "reasoning", token_budget=400) as lab:
        yield lab


def chat(answer: str) -> str:
    turns = [
        {"role": "system", "content": ENCODE.system_prompt},
        {"role": "user", "content": PROMPT},
        {"role": "assistant", "content": answer},
    ]
    return Template(chat_template()).render(messages=turns)


def test_a_judge_that_reasons_gives_rewards_and_texts_of_score(models: ParadigmModels, judge: Lab) -> None:
    scored, table = models.by_score("reasoning", ROWS), models.by_pyfunc("reasoning", ROWS)
    with ThreadPoolExecutor(3) as pool:
        answers = [one.json() for one in pool.map(lambda row: judge.post("/score", body(models, row)), ROWS)]
    assert len({round(reward, 4) for one in scored for reward in one.rewards}) > 3, "the judge says this and that"
    for place, (answer, expected) in enumerate(zip(answers, scored, strict=True)):
        said = expected.fields()
        assert answer["rewards"] == pytest.approx(expected.rewards, abs=1e-5)
        assert list(table["rewards"][place]) == pytest.approx(expected.rewards, abs=1e-5)
        assert answer["verdicts"] == said["verdicts"] == table["verdicts"][place]
        for name in ("verdict_tokens", "verdicts_unread"):
            assert answer[name] == said[name] == table[name][place]
        assert (answer["critiques"], answer["critique_tokens"]) == ([], 0)
    assert sum(one.unread for one in scored) > 0, "texts that are no verdict are seen too"


def test_other_routes_count_what_was_written(models: ParadigmModels, judge: Lab) -> None:
    [expected] = models.by_score("reasoning", ROWS[:1])
    query = [chat(one) for one in ROWS[0]["responses"]]
    found = judge.post("/get_reward", {"query": query}).json()
    assert found["rewards"] == pytest.approx(expected.rewards, abs=1e-5)
    assert (found["verdict_tokens"], found["verdicts_unread"]) == (expected.tokens, expected.unread)
    for path, given in (
        ("/classify", {"input": query}),
        ("/v1/score", {"queries": PROMPT, "documents": ROWS[0]["responses"]}),
    ):
        found = judge.post(path, given).json()
        assert [one["probs"][0] if "probs" in one else one["score"] for one in found["data"]] == pytest.approx(
            expected.rewards, abs=1e-5
        )
        assert found["usage"]["completion_tokens"] == expected.tokens


def test_a_row_without_a_verdict_has_the_error_of_score_and_is_counted(models: ParadigmModels) -> None:
    [expected] = models.by_score("reasoning", ROWS[1:2], verdicts=SHORT)
    assert expected.rewards is None
    with lab_of(models, "reasoning", verdicts=SHORT) as lab:
        seen: list[tuple[int, int]] = []
        lab.service._wrote = lambda tokens, _, unread: seen.append((tokens, unread))
        error = lab.post("/score", ROWS[1]).json()["error"]
        assert refused(lab, "/get_reward", {"query": [chat(one) for one in ROWS[1]["responses"]]}) == (
            422,
            "no_verdict",
        )
    assert error["type"] == "no_verdict" and error["message"].startswith(f"{expected.error} (member ")
    assert seen == [(expected.tokens, expected.unread)] * 2 == [(6, 2)] * 2, "paid for, and read by nobody"
    with pytest.raises(Exception, match=r"row 0: no_verdict: answers \d and \d in this order"):
        models.by_pyfunc("reasoning", ROWS[1:2], SHORT)
    scorer = models.load("reasoning", serving(verdicts=SHORT)).scorer
    assert LoadedScores(scorer).score([ROWS[1]]) == [None], "to RL it is an answer without a reward"


@pytest.mark.parametrize(
    ("path", "given", "reason"),
    [
        ("/score", {"prompt": PROMPT, "responses": ["A wren."]}, "one_response"),
        ("/get_reward", {"query": [chat("A wren.")]}, "one_response"),
        ("/classify", {"input": chat("A wren.")}, "one_response"),
        ("/v1/score", {"queries": [PROMPT, "What is it?"], "documents": ["A wren.", "A bus."]}, "one_response"),
        ("/v1/score", {"queries": PROMPT, "documents": ["A wren."] * 7}, "too_many_responses"),
        ("/score", {"prompt": PROMPT, "responses": ["A wren."] * 2, "critiques": ["No."] * 2}, "unexpected_critiques"),
        ("/score", {"prompt": "Say it. " * 40, "responses": ["It is a bus. " * 30] * 2}, "too_long"),
    ],
)
def test_what_can_not_be_judged_is_refused(judge: Lab, path: str, given: dict[str, Any], reason: str) -> None:
    assert refused(judge, path, given) == (422, reason)


def test_writing_is_bounded_by_tokens_and_by_time(models: ParadigmModels) -> None:
    # Two answers: two questions, three texts each, of 40 tokens at most.
    with lab_of(models, "reasoning", max_written_tokens=2 * 3 * 40) as lab:
        assert lab.post("/score", ROWS[1]).status_code == 200
        assert refused(lab, "/score", ROWS[0]) == (422, "too_many_verdicts")
    fewer = replace(JUDGING, pairs="tournament")
    with lab_of(models, "reasoning", max_written_tokens=4 * 3 * 40, verdicts=fewer) as lab:
        answer = lab.post("/score", ROWS[0]).json()
        assert len(answer["verdicts"]) == 4 and answer["rewards"] == pytest.approx(
            models.by_score("reasoning", ROWS[:1], verdicts=fewer)[0].rewards, abs=1e-5
        )
    long = VerdictsConfig(number=32, max_tokens=1500, temperature=3.0)
    settings = {"verdicts": long, "request_timeout_s": 0.5, "max_written_tokens": 1_000_000, "token_budget": 4096}
    with lab_of(models, "reasoning", **settings) as lab:
        began_s = time.monotonic()
        assert refused(lab, "/score", ROWS[0]) == (504, "too_late")
        assert time.monotonic() - began_s < 30, "it ends with the token that it is at"


def test_a_registered_judge_says_how_it_writes(models: ParadigmModels) -> None:
    def made(paradigm: str, verdicts: VerdictsConfig | None = None) -> ServedModel:
        reading = reading_of(models.folders[paradigm]) or models.base.reading
        assert isinstance(reading, Reading)
        served = one_model("one", models.folders[paradigm], reading, CritiquesConfig(source="written"), verdicts)
        assert ServedModel.from_json(served.to_json()) == served
        return served

    assert made("reasoning", JUDGING).members[0].verdicts == JUDGING
    assert made("reasoning").members[0].verdicts == VerdictsConfig()
    assert made("generative", replace(JUDGING, pairs="tournament")).members[0].verdicts == VerdictsConfig(
        pairs="tournament"
    )
    for paradigm in ("scalar", "critic", "generative"):
        assert "verdicts" not in made(paradigm, JUDGING).to_json()["members"][0], "as early versions wrote it"


def test_a_short_judge_holds_a_tournament_where_it_is_told_to(models: ParadigmModels) -> None:
    fewer = VerdictsConfig(pairs="tournament")
    # All pairs of four long answers are more than a packed row holds, and two of them are not.
    large = {"prompt": PROMPT, "responses": [f"It is a bus. {'A wren. ' * 12}{n}" for n in range(4)], "images": None}
    [small, whole] = models.by_score("generative", [ROWS[0], large], verdicts=fewer)
    with lab_of(models, "generative", verdicts=fewer, token_budget=400) as lab:
        assert lab.post("/score", ROWS[0]).json()["rewards"] == pytest.approx(small.rewards, abs=1e-5)
        assert lab.post("/score", large).json()["rewards"] == pytest.approx(whole.rewards, abs=1e-5)
    with lab_of(models, "generative", token_budget=400) as lab:
        assert refused(lab, "/score", large) == (422, "too_long")


def test_an_ensemble_refuses_what_its_judge_says_nothing_of(models: ParadigmModels) -> None:
    loaded = models.load(models.ensemble(), serving()).scorer
    row = loaded.write(loaded.read(ROWS[1]))
    judged = row.asked["reasoning"].judged
    assert judged is not None
    silent = replace(row.asked["reasoning"], judged=replace(judged, rewards=None, questions=_nothing(judged.questions)))
    lost = replace(row, asked={**row.asked, "reasoning": silent})
    assert row.checked() is row
    with pytest.raises(RecordError, match=r"no_verdict: answers \d and \d .*\(member 'reasoning'\)"):
        lost.checked()


def _nothing(questions: Any) -> tuple[Any, ...]:
    return tuple(replace(one, verdicts=(None,) * len(one.texts)) for one in questions)
