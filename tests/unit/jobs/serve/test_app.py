"""The routes on a real HTTP server: rewards are those of `score` and pyfunc, and what can't be scored says why."""

import json
import re
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from jinja2 import Template
from scipy.special import expit
from serve_lab import Lab, answering
from served_models import ServedModels

from data_pipeline.encoding.template import chat_template
from rm_core.serving.batching import BatchSeen
from rm_core.serving.config import ServeConfig

CONFIG = ServeConfig(batch_wait_ms=20, max_responses=8, max_images=2, max_image_pixels=100_000)
WORDS = ["A bus.", "A wren, a robin.", "Red.", "It is a bus. It is red.", "No.", "A bird", "Name it.", "Which?"]
PROMPTS = ["What is it?", "Name a bird.", "<image> Which colours are there?"]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> ServedModels:
    return ServedModels(tmp_path_factory.mktemp("served"))


@pytest.fixture(scope="module")
def lab(models: ServedModels) -> Iterator[Lab]:
    with answering(lambda: models.load(CONFIG), CONFIG) as found:
        yield found


def rows() -> list[dict[str, Any]]:
    """K = 1 to 8, text and pictures, prompts that come several times."""
    found = []
    for count in range(1, 9):
        prompt = PROMPTS[count % 3]
        images = [("a.png", "b.png")[count % 2]] if "<image>" in prompt else None
        found.append({"prompt": prompt, "responses": WORDS[:count], "images": images})
        found.append({"prompt": prompt, "responses": WORDS[::-1][:count], "images": images})
    return found


def body(models: ServedModels, row: dict[str, Any]) -> dict[str, Any]:
    images = None if row["images"] is None else [models.data_url(name[0]) for name in row["images"]]
    return row | {"images": images}


def test_rewards_are_those_of_score_and_pyfunc_whatever_shares_the_batch(models: ServedModels, lab: Lab) -> None:
    asked = rows()
    by_score, by_pyfunc = models.by_score(asked), models.by_pyfunc(asked)["rewards"]
    with ThreadPoolExecutor(len(asked)) as pool:
        answers = list(pool.map(lambda row: lab.post("/score", body(models, row)), asked))
    assert {answer.status_code for answer in answers} == {200}
    for answer, one, other in zip(answers, by_score, by_pyfunc, strict=True):
        assert answer.json()["rewards"] == pytest.approx(one, abs=1e-5)
        assert one == pytest.approx(other, abs=1e-5)
    assert max(seen.requests for seen in lab.batches) > 1, "some went together"
    assert sum(seen.shared_tokens for seen in lab.batches) > 0, "and prompts were joined"


def test_images_may_come_as_files(models: ServedModels, lab: Lab) -> None:
    row = {"prompt": "<image> or <image>?", "responses": WORDS[:3], "images": ["b.png", "a.png"]}
    asked = json.dumps({"prompt": row["prompt"], "responses": row["responses"]})
    files = [("images", (name, (models.folder / name).read_bytes())) for name in row["images"]]
    found = lab.client.post("/score/files", data={"comparison": asked}, files=files)
    assert found.json()["rewards"] == pytest.approx(models.by_score([row])[0], abs=1e-5)
    both, bare = json.dumps(body(models, row)), asked.replace("<image>", "This")
    for given, sent, status, reason in (
        (asked, files[:1], 422, "image_slot_mismatch"), (bare, files * 2, 422, "too_many_images"),
        (asked, [("images", ("a.png", b"no picture"))] * 2, 422, "broken_image"), (both, files, 422, "invalid_request"),
        ("{", files, 400, "invalid_request"), ('{"responses": ["x"]}', files, 422, "invalid_request"),
        (asked, [("files", files[0][1])], 422, "invalid_request"),
    ):  # fmt: skip
        answer = lab.client.post("/score/files", data={"comparison": given}, files=sent)
        assert (answer.status_code, answer.json()["error"]["type"]) == (status, reason), answer.text
    many = lab.client.post("/score/files", data={"comparison": asked}, files=[("images", ("x", b""))] * 1001)
    assert many.status_code in (400, 422)


def asked_one_by_one(
    models: ServedModels, asked: list[dict[str, Any]], **more: Any
) -> tuple[list[list[float]], list[BatchSeen]]:
    config = replace(CONFIG, batch_wait_ms=0, **more)
    with answering(lambda: models.load(config), config) as lab:
        rewards = [lab.post("/score", body(models, row)).json()["rewards"] for row in asked]
    return rewards, lab.batches


def test_more_responses_to_a_prompt_are_computed_without_it(models: ServedModels) -> None:
    prompts = [("a.png", PROMPTS[2]), ("b.png", PROMPTS[2]), (None, PROMPTS[1])]
    asked = [
        {"prompt": prompt, "responses": [word], "images": image and [image]}
        for image, prompt in prompts
        for word in WORDS
    ]
    rewards, known = asked_one_by_one(models, asked)
    others, whole = asked_one_by_one(models, asked, prefix_cache_bytes=0)
    expected = models.by_score(asked)
    for found in (rewards, others):
        assert [one for [one] in found] == pytest.approx([one for [one] in expected], abs=1e-5)
    assert [seen.cached_tokens > 0 for seen in known] == [False, *[True] * 7] * 3, "the picture tells prompts apart"
    for seen, one in zip(known, whole, strict=True):
        assert seen.tokens + seen.cached_tokens == one.tokens and one.cached_tokens == 0


def test_an_ensemble_gives_its_doubt_too(models: ServedModels) -> None:
    folder, asked = models.ensemble(), rows()[2:6]
    expected = models.by_pyfunc(asked, folder)
    with answering(lambda: models.load(CONFIG, folder), CONFIG) as lab, ThreadPoolExecutor(4) as pool:
        found = [answer.json() for answer in pool.map(lambda row: lab.post("/score", body(models, row)), asked)]
    for place, answer in enumerate(found):
        for name in ("rewards", "spread"):
            assert answer[name] == pytest.approx(list(expected[name][place]), abs=1e-5)
    assert found[0]["probability"] == pytest.approx(expected["probability"][0], abs=1e-5)
    assert max(found[2]["spread"]) > 0 == max(found[0]["spread"]), "one of them sees no picture"


def test_openrlhfs_queries_with_images(models: ServedModels, lab: Lab) -> None:
    chosen = [row for row in rows() if len(row["responses"]) >= 6]
    expected = models.by_score(chosen)
    query, images, rewards = [], [], []
    for row, found in zip(chosen, expected, strict=True):
        content = [{"type": "image"}, {"type": "text", "text": row["prompt"].removeprefix("<image>")}]
        turns = [{"role": "user", "content": content if row["images"] else row["prompt"]}]
        for answer, reward in zip(row["responses"], found, strict=True):
            messages = [*turns, {"role": "assistant", "content": answer}]
            query.append(Template(chat_template()).render(messages=messages))
            images.append(body(models, row)["images"])
            rewards.append(reward)
    found = lab.post("/get_reward", {"query": query, "images": images, "labels": ["x"] * len(query)}).json()
    assert found["rewards"] == pytest.approx(rewards, abs=1e-5)


def test_vllms_classify_and_score(models: ServedModels, lab: Lab) -> None:
    row = {"prompt": "Name a bird.", "responses": WORDS[:3], "images": None}
    [expected] = models.by_score([row])
    turns = [{"role": "user", "content": row["prompt"]}]
    texts = [
        Template(chat_template()).render(messages=[*turns, {"role": "assistant", "content": one}])
        for one in row["responses"]
    ]
    found = lab.post("/classify", {"model": "any", "input": texts, "use_activation": False}).json()
    assert [one["probs"][-1] for one in found["data"]] == pytest.approx(expected, abs=1e-5)
    assert [one["num_classes"] for one in found["data"]] == [1, 1, 1] and found["usage"]["prompt_tokens"] > 0
    chat = {"messages": [*turns, {"role": "assistant", "content": WORDS[1]}], "use_activation": True}
    [one] = lab.post("/classify", chat).json()["data"]
    assert one["probs"][0] == pytest.approx(float(expit(expected[1])), abs=1e-5)
    for keys in (("queries", "documents"), ("text_1", "text_2")):
        pairs = lab.post("/v1/score", dict(zip(keys, (row["prompt"], row["responses"]), strict=True))).json()
        assert [one["score"] for one in pairs["data"]] == pytest.approx(expected, abs=1e-5)
    assert lab.post("/v1/score", {"queries": ["a", "b"], "documents": ["c", "d", "e"]}).status_code == 422


@pytest.mark.parametrize(
    ("given", "status", "reason"),
    [
        ({"prompt": "What?", "responses": []}, 422, "invalid_request"),
        ({"prompt": "What?", "responses": ["x"], "response": "y"}, 422, "invalid_request"),
        ({"prompt": "What?", "responses": ["x"] * 9}, 422, "too_many_responses"),
        ({"prompt": "What?", "responses": ["  "]}, 422, "empty_response"),
        ({"prompt": "words " * 400, "responses": ["x"]}, 422, "too_long"),
        ({"prompt": "What?", "responses": ["x"], "images": ["a.png"]}, 422, "unsafe_path"),
        ({"prompt": "What?", "responses": ["x"], "images": "/etc/passwd"}, 422, "unsafe_path"),
        ({"prompt": "What?", "responses": ["x"], "images": "http://127.0.0.1/a.png"}, 422, "unsafe_path"),
        ({"prompt": "What?", "responses": ["x"], "images": "data:image/png;base64,bm8="}, 422, "broken_image"),
        ({"prompt": "What?", "responses": ["x"], "images": ["data:;base64,bm8="] * 3}, 422, "too_many_images"),
        ({"prompt": "<image>?", "responses": ["x"]}, 422, "image_slot_mismatch"),
        ({"prompt": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}]}],
          "responses": ["x"]}, 422, "unsafe_path"),
    ],
)  # fmt: skip
def test_what_can_not_be_scored_says_why(lab: Lab, given: Any, status: int, reason: str) -> None:
    answer = lab.post("/score", given)
    assert (answer.status_code, answer.json()["error"]["type"]) == (status, reason)


def test_bodies_that_are_no_requests(lab: Lab) -> None:
    for content, status in (
        (b"{", 400), (b"[" * 100_000, 400), (b"\xff\xfe", 400), (b'{"prompt": ' + b"9" * 9000 + b"}", 400), (b"", 422),
        (b"null", 422),
    ):  # fmt: skip
        answer = lab.client.post("/score", content=content, headers={"Content-Type": "application/json"})
        assert answer.status_code == status, (content[:20], answer.text)
        assert set(answer.json()["error"]) == {"type", "message"}


def test_state_and_the_page_of_the_routes(lab: Lab, models: ServedModels) -> None:
    assert lab.get("/health").json() == {"status": "ok"}
    assert lab.get("/ready").json() == {"ready": True, "model": models.sees, "under_way": 0}
    assert lab.get("/v1/models").json()["data"][0]["id"] == models.sees
    page = lab.get("/openapi.json").json()
    assert {"/score", "/score/files", "/get_reward", "/classify", "/v1/score", "/health", "/ready"} <= set(
        page["paths"]
    )
    assert "429" in page["paths"]["/score"]["post"]["responses"]
    docs = lab.get("/docs").text
    files = re.findall(r"(?:src|href)=\"([^\"]+)\"", docs)
    assert len(files) == 3 and all(file.startswith("/docs/files/") for file in files), (
        "nothing is loaded from elsewhere"
    )
    assert all(lab.get(file).status_code == 200 for file in files)
    assert lab.get("/nothing").status_code == 404


def test_a_full_server_says_when_to_come_again(models: ServedModels, monkeypatch: pytest.MonkeyPatch) -> None:
    config = ServeConfig(max_waiting=1)
    loaded, free = models.load(config), threading.Event()
    score = loaded.scorer.score_read
    monkeypatch.setattr(loaded.scorer, "score_read", lambda found: (free.wait(30), score(found))[1])
    given = {"prompt": "What is it?", "responses": ["A bus."]}
    with answering(lambda: loaded, config) as lab, ThreadPoolExecutor(1) as pool:
        first = pool.submit(lab.post, "/score", given)
        while not lab.service.num_under_way:
            time.sleep(0.01)
        answers = [lab.post("/score", given) for _ in range(3)]
        free.set()
        assert first.result().status_code == 200 == lab.post("/score", given).status_code
    assert [answer.status_code for answer in answers] == [429] * 3
    assert all(int(answer.headers["Retry-After"]) >= 1 for answer in answers)
    assert sorted(status for _, status in lab.requests) == [200, 200, 429, 429, 429]


def test_a_late_answer_is_an_error_and_a_model_that_gives_no_number_too(models: ServedModels) -> None:
    config = ServeConfig(request_timeout_s=0.05, batch_wait_ms=400)
    given = {"prompt": "What is it?", "responses": ["A bus."]}
    with answering(lambda: models.load(config), config) as lab:
        answer = lab.post("/score", given)
        assert (answer.status_code, answer.json()["error"]["type"]) == (504, "too_late")
    config = ServeConfig()
    loaded = models.load(config)
    scorer = loaded.scorer._scorers["model"]._scorer
    for weight in scorer.model.head.parameters():
        weight.data.fill_(float("nan"))
    with answering(lambda: loaded, config) as lab:
        answer = lab.post("/score", given)
        assert (answer.status_code, answer.json()["error"]["type"]) == (500, "not_finite")


def test_a_model_that_breaks_gives_an_error_and_the_next_request_an_answer(
    models: ServedModels, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    config = ServeConfig()
    loaded = models.load(config)
    given = {"prompt": "What is it?", "responses": ["A bus."]}
    with answering(lambda: loaded, config) as lab:
        with monkeypatch.context() as patch:
            patch.setattr(loaded.scorer, "score_read", lambda rows: 1 / 0)
            answer = lab.post("/score", given)
        assert (answer.status_code, answer.json()["error"]["type"]) == (500, "internal")
        assert "division" not in answer.text
        assert lab.post("/score", given).status_code == 200
    assert json.loads(answer.text)


@pytest.fixture
def other(models: ServedModels, tmp_path: Path) -> str:
    return models.export(f"other-{tmp_path.name}", 5)


def test_another_model_takes_over_while_requests_come(models: ServedModels, lab: Lab, other: str) -> None:
    config = ServeConfig(batch_wait_ms=5)
    given = {"prompt": "What is it?", "responses": ["A bus.", "No."]}
    first, second = models.load(config), models.load(config, other)
    with answering(lambda: first, config) as lab, ThreadPoolExecutor(4) as pool:
        tasks = [pool.submit(lab.post, "/score", given) for _ in range(40)]
        tasks[5].result()
        lab.loop.call_soon_threadsafe(lab.service.replace, second)
        tasks += [pool.submit(lab.post, "/score", given) for _ in range(10)]
        answers = [task.result() for task in tasks]
    expected = {
        model.address: list(model.scorer.score([given | {"images": None}])[0].rewards) for model in (first, second)
    }
    assert {answer.json()["model"] for answer in answers} == set(expected)
    for answer in answers:
        assert answer.json()["rewards"] == pytest.approx(expected[answer.json()["model"]], abs=1e-5)
