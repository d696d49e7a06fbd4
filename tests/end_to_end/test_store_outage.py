"""A training whose store fails while it reads its shards: it waits, and where it may not, the group starts again."""

import threading
import time
from collections.abc import Iterator

import pytest
from s3_faults import FaultyProxy
from s3_server import S3Server, s3_server
from training_runs import series_of
from workplace import Workplace

from data_pipeline import storage
from data_pipeline.dataset.layout import shard_folder

__all__ = ["s3_server"]

pytestmark = pytest.mark.drill

OUTAGE_S = 15.0
"""Several times as long as the tries of a single read take."""


@pytest.fixture
def outage(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyProxy]:
    """A way to the store that fails for `OUTAGE_S` as soon as the first shard is asked for."""
    ended = threading.Event()
    with FaultyProxy(s3_server.endpoint) as proxy:

        def fail() -> None:
            while not any("-0.arrow" in path for method, path, _ in list(proxy.requests) if method == "GET"):
                if ended.wait(0.002):
                    return
            proxy.fail(1_000_000)
            ended.wait(OUTAGE_S)
            proxy.heal()

        thread = threading.Thread(target=fail)
        thread.start()
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
        yield proxy
        ended.set()
        thread.join()


@pytest.mark.parametrize(
    ("retry_s", "said"),
    [(600, "can't be read"), (0, "starting again")],
    ids=["waited for", "a budget of failures"],
)
def test_a_store_that_fails_while_shards_are_read_ends_no_training(
    workplace: Workplace,
    s3_server: S3Server,
    outage: FaultyProxy,
    monkeypatch: pytest.MonkeyPatch,
    retry_s: int,
    said: str,
) -> None:
    shards = f"s3://{s3_server.bucket}/shards-{retry_s}"
    for url in storage.list_files(f"{workplace.folder}/shards/**"):
        name = url.removeprefix(f"{workplace.folder}/shards/")
        storage.write_atomic(storage.join(shards, name), storage.read_bytes(url))
    assert storage.list_files(shard_folder(shards))
    monkeypatch.setenv("AWS_ENDPOINT_URL", outage.endpoint)
    output = workplace.folder / f"outage-{retry_s}"
    began_s = time.monotonic()
    printed = workplace.run(
        "train",
        f"train.data={shards}",
        f"train.output={output}",
        f"train.cache_dir={workplace.folder}/copies-{retry_s}",
        f"train.read_retry_s={retry_s}",
    )
    assert said in printed, printed
    assert time.monotonic() - began_s > OUTAGE_S
    assert [step for step, _ in series_of(workplace.folder, output.name)["train/loss"]] == list(range(1, 31))
