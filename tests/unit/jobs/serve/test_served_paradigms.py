"""Critics and judges behind HTTP: rewards are those of `score` and of pyfunc, on every route; a mixed ensemble too."""

import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from jinja2 import Template
from paradigm_lab import body, lab_of, refused
from paradigm_models import JUDGING, WRITING, ParadigmModels, serving
from serve_lab import Lab

from data_pipeline.encoding.template import chat_template
from data_pipeline.errors import RecipeError, UserError
from jobs.serve.applications import applications, checked
from rm_core.generation.config import CritiquesConfig
from rm_core.serving.config import ServeConfig

PROMPT = "Name a bird."
ROWS: list[dict[str, Any]] = [
    {"prompt": PROMPT, "responses": ["A wren.", "A bus.", "It is red."], "images": None},
    {"prompt": PROMPT, "responses": ["A robin.", "No."], "images": None},
    {"prompt": "<image> Which colours are there?", "responses": ["Red.", "It is a bus."], "images": ["a.png"]},
]
CRITIQUES = ["It is a bird.", "It is a bus."]
GIVEN = CritiquesConfig()


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> ParadigmModels:
    return ParadigmModels(tmp_path_factory.mktemp("paradigms"))


@pytest.fixture(scope="module")
def critic(models: ParadigmModels) -> Iterator[Lab]:
    with lab_of(models, "critic", max_written_tokens=40) as lab:
        yield lab


@pytest.fixture(scope="module")
def judge(models: ParadigmModels) -> Iterator[Lab]:
    with lab_of(models, "generative") as lab:
        yield lab


def chat(answer: str) -> str:
    turns = [{"role": "user", "content": PROMPT}, {"role": "assistant", "content": answer}]
    return Template(chat_template()).render(messages=turns)


def test_a_critic_writes_and_says_what_it_wrote(models: ParadigmModels, critic: Lab) -> None:
    scored, table = models.by_score("critic", ROWS), models.by_pyfunc("critic", ROWS)
    with ThreadPoolExecutor(3) as pool:
        answers = [one.json() for one in pool.map(lambda row: critic.post("/score", body(models, row)), ROWS)]
    for place, (answer, expected) in enumerate(zip(answers, scored, strict=True)):
        assert answer["rewards"] == pytest.approx(expected.rewards, abs=1e-5)
        assert list(table["rewards"][place]) == pytest.approx(expected.rewards, abs=1e-5)
        assert answer["critiques"] == [list(texts) for texts in expected.critiques] == table["critiques"][place]
        assert answer["critique_tokens"] == expected.tokens == table["critique_tokens"][place] > 0
    query = [chat(one) for one in ROWS[0]["responses"]]
    found = critic.post("/get_reward", {"query": query}).json()
    assert found["rewards"] == pytest.approx(scored[0].rewards, abs=1e-5)
    assert found["critique_tokens"] == scored[0].tokens
    found = critic.post("/classify", {"input": query}).json()
    assert [one["probs"][0] for one in found["data"]] == pytest.approx(scored[0].rewards, abs=1e-5)
    assert found["usage"]["completion_tokens"] == scored[0].tokens
    found = critic.post("/v1/score", {"queries": PROMPT, "documents": ROWS[0]["responses"]}).json()
    assert [one["score"] for one in found["data"]] == pytest.approx(scored[0].rewards, abs=1e-5)


def test_given_critiques_are_read_in_place_of_written_ones(models: ParadigmModels, critic: Lab) -> None:
    row = ROWS[1] | {"critiques": CRITIQUES}
    seen: list[tuple[int, float]] = []
    critic.service._wrote = lambda tokens, seconds, _: seen.append((tokens, seconds))
    [expected] = models.by_score("critic", [row], GIVEN)
    answer = critic.post("/score", row).json()
    assert answer["rewards"] == pytest.approx(expected.rewards, abs=1e-5)
    assert list(models.by_pyfunc("critic", [row])["rewards"][0]) == pytest.approx(expected.rewards, abs=1e-5)
    assert (answer["critiques"], answer["critique_tokens"]) == ([], 0)
    written = critic.post("/score", ROWS[1]).json()
    assert answer["rewards"] != pytest.approx(written["rewards"], abs=1e-5)
    assert [tokens for tokens, _ in seen] == [written["critique_tokens"]] and seen[0][1] > 0, "what is given is free"


def test_what_a_critic_can_not_do_says_why(models: ParadigmModels, critic: Lab) -> None:
    assert refused(critic, "/score", ROWS[1] | {"critiques": CRITIQUES[:1]}) == (422, "wrong_field_type")
    assert refused(critic, "/score", ROWS[1] | {"critiques": ["Good.", " "]}) == (422, "missing_critique")
    assert refused(critic, "/score", ROWS[0] | {"responses": ["It."] * 4}) == (422, "too_many_critiques")
    with lab_of(models, "critic", critiques=GIVEN) as lab:
        assert refused(lab, "/score", ROWS[1]) == refused(lab, "/get_reward", {"query": [chat("A wren.")]})
        answer = lab.post("/score", ROWS[1]).json()["error"]
        assert answer["type"] == "missing_critique" and "serve.critiques.source=written" in answer["message"]
    with lab_of(models, "scalar") as lab:
        assert refused(lab, "/score", ROWS[1] | {"critiques": CRITIQUES}) == (422, "unexpected_critiques")


def test_settings_reach_a_replica_as_they_were() -> None:
    """Plain values go there, in a file too."""
    config = serving(max_written_tokens=7, verdicts=replace(JUDGING, pairs="tournament"))
    [one] = applications(config, tracking_uri=None, reading={}, gpus=0.0)
    assert ServeConfig.of_values(json.loads(json.dumps(one["serve"]))) == replace(config, gpus=0.0)
    same = replace(config, critiques=replace(WRITING, temperature=0.0))
    with pytest.raises(RecipeError, match=r"serve\.critiques\.temperature=0 writes serve\.critiques\.number=2 times"):
        checked(same)
    with pytest.raises(RecipeError, match=r"serve\.verdicts\.temperature=0 writes serve\.verdicts\.number=3 times"):
        checked(replace(config, verdicts=replace(JUDGING, temperature=0.0)))


def test_writing_ends_with_the_time_of_its_request(models: ParadigmModels) -> None:
    """A request that is given up on holds up nobody: no token is written for it once its time is over."""
    writing = CritiquesConfig(source="written", number=8, max_tokens=1500, temperature=0.7)
    settings = {"critiques": writing, "request_timeout_s": 0.4, "max_written_tokens": 100_000, "token_budget": 4096}
    with lab_of(models, "critic", **settings) as lab, ThreadPoolExecutor(3) as pool:
        began_s = time.monotonic()
        late = list(pool.map(lambda _: refused(lab, "/score", ROWS[0]), range(3)))
        assert late == [(504, "too_late")] * 3
        answer = lab.post("/score", ROWS[1] | {"critiques": CRITIQUES})
        assert answer.status_code == 200 and time.monotonic() - began_s < 5


def test_a_judge_gives_the_rewards_of_score_whatever_waits_beside_it(models: ParadigmModels, judge: Lab) -> None:
    scored, table = models.by_score("generative", ROWS), models.by_pyfunc("generative", ROWS)
    before, ready = len(judge.batches), threading.Barrier(3)

    def post(row: dict[str, Any]) -> dict[str, Any]:
        ready.wait()
        return dict(judge.post("/score", body(models, row)).json())

    with ThreadPoolExecutor(3) as pool:
        answers = list(pool.map(post, ROWS))
    for place, (answer, expected) in enumerate(zip(answers, scored, strict=True)):
        assert answer["rewards"] == pytest.approx(expected.rewards, abs=1e-5)
        assert list(table["rewards"][place]) == pytest.approx(expected.rewards, abs=1e-5)
        assert sum(answer["rewards"]) == pytest.approx(0, abs=1e-5)
    assert max(seen.requests for seen in judge.batches[before:]) > 1, "two about one prompt went together"
    query = [chat(one) for one in ROWS[0]["responses"]]
    assert judge.post("/get_reward", {"query": query}).json()["rewards"] == pytest.approx(scored[0].rewards, abs=1e-5)
    found = judge.post("/classify", {"input": query}).json()["data"]
    assert [one["probs"][0] for one in found] == pytest.approx(scored[0].rewards, abs=1e-5)
    found = judge.post("/v1/score", {"queries": PROMPT, "documents": ROWS[0]["responses"]}).json()["data"]
    assert [one["score"] for one in found] == pytest.approx(scored[0].rewards, abs=1e-5)


@pytest.mark.parametrize(
    ("path", "given", "reason"),
    [
        ("/score", {"prompt": PROMPT, "responses": ["A wren."]}, "one_response"),
        ("/get_reward", {"query": [chat("A wren.")]}, "one_response"),
        ("/classify", {"input": chat("A wren.")}, "one_response"),
        ("/classify", {"messages": [{"role": "user", "content": PROMPT}, {"role": "assistant", "content": "A wren."}]},
         "one_response"),
        ("/v1/score", {"queries": [PROMPT, "What is it?"], "documents": ["A wren.", "A bus."]}, "one_response"),
        ("/v1/score", {"queries": PROMPT, "documents": ["A wren."] * 7}, "too_many_responses"),
        ("/score", {"prompt": PROMPT, "responses": ["A wren."] * 2, "critiques": ["No."] * 2}, "unexpected_critiques"),
        ("/score", {"prompt": "Say it. " * 30, "responses": ["It is a bus. " * 25] * 6}, "too_long"),
    ],
)  # fmt: skip
def test_what_a_judge_can_not_compare_is_refused(judge: Lab, path: str, given: dict[str, Any], reason: str) -> None:
    assert refused(judge, path, given) == (422, reason)


def test_an_ensemble_of_all_paradigms(models: ParadigmModels) -> None:
    place, expected = models.ensemble(), models.combined(ROWS)
    table = models.base.by_pyfunc(ROWS, place)
    with lab_of(models, place) as lab:
        answers = [lab.post("/score", body(models, row)).json() for row in ROWS]
        assert refused(lab, "/score", ROWS[1] | {"critiques": CRITIQUES}) == (422, "unexpected_critiques")
        assert refused(lab, "/score", {"prompt": PROMPT, "responses": ["A wren."]}) == (422, "one_response")
    for number, answer in enumerate(answers):
        assert answer["rewards"] == pytest.approx(expected[number], abs=1e-4)
        assert list(table["rewards"][number]) == pytest.approx(expected[number], abs=1e-4)
        assert len(answer["critiques"][0]) == WRITING.number and answer["critique_tokens"] > 0
        asked = JUDGING.num_questions(len(answer["rewards"]))
        assert len(answer["verdicts"]) == asked and answer["verdict_tokens"] > 0
        assert answer["verdicts_unread"] == table["verdicts_unread"][number]
        assert min(answer["spread"]) > 0
    given = models.load(models.ensemble(GIVEN), serving()).scorer
    assert len(given.score([ROWS[1] | {"critiques": CRITIQUES}])[0].rewards) == 2
    with pytest.raises(UserError, match=r"missing_critique: .*critiques of its member"):
        given.score([ROWS[1]])
