"""What the doctor says of facts: each thing that can be wrong is found, named with its node, and comes with a cure."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import pytest

from cluster.nodes.checks import Gpu, NodeFacts, look, reach_endpoint, reach_http
from cluster.nodes.diagnosis import Examined, Wanted, diagnose

H100 = Gpu(name="H100", memory_mb=81559, driver="580.65.06", ecc_errors=0)
FACTS = NodeFacts(
    host="gpu1", gpus=(H100,) * 8, gpu_problem=None, nccl="2.27", cuda=13, efa_devices=32, temp_free_gb=400.0,
    shm_gb=600.0, open_files=65536, unreached={},
)  # fmt: skip
WANTED = Wanted(gpus=8, efa=32)


def node(address: str = "10.0.0.2", **changed: Any) -> Examined:
    own = {name: changed.pop(name) for name in list(changed) if name in Examined.__dataclass_fields__}
    return replace(
        Examined(address=address, is_head=False, object_store_gb=500.0, facts=replace(FACTS, **changed)), **own
    )


def test_nodes_that_are_well_have_nothing_wrong() -> None:
    head = node("10.0.0.1", is_head=True, gpus=(), nccl=None, efa_devices=0)
    assert diagnose([head, node(), node("10.0.0.3")], WANTED) == []


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"facts": None, "silence": "timed out"}, "does not answer: timed out"),
        ({"gpus": (H100,) * 7}, "7 GPUs of 8 wanted"),
        ({"gpus": (), "gpu_problem": "Driver/library version mismatch"}, "the GPU driver fails: Driver/library"),
        ({"gpus": (*(H100,) * 7, replace(H100, ecc_errors=3))}, "1 GPUs have uncorrected memory errors"),
        ({"efa_devices": 0}, "0 EFA devices of 32 wanted"),
        ({"nccl": None, "cuda": None}, "there are GPUs and no NCCL"),
        (
            {"gpus": (replace(H100, driver="570.86.15"),) * 8},
            "driver 570.86.15 is too old for CUDA 13, which wants 580",
        ),
        ({"clock_offset_s": -4.0}, "its clock is off by -4.0 s"),
        ({"temp_free_gb": 3.0}, "3.0 GB are free"),
        ({"object_store_gb": 0.1}, "its object store has 0.10 of 1 GB"),
        ({"shm_gb": 0.1}, "shared memory has 0.1 GB"),
        ({"open_files": 1024}, "may open 1024 files"),
        ({"unreached": {"MLflow": "it answers 502"}}, "MLflow is not reached: it answers 502"),
        ({"storage_problem": "AccessDenied"}, "S3 is not reached: AccessDenied"),
    ],
)
def test_each_fault_is_named_with_its_node_and_a_cure(changed: dict[str, Any], message: str) -> None:
    found = [one for one in diagnose([node(), node("10.0.0.9", **changed)], WANTED) if message in one.wrong]
    assert [one.node for one in found] == ["10.0.0.9"]
    assert found[0].cure


def test_a_clock_is_not_blamed_for_a_slow_answer() -> None:
    assert diagnose([node(clock_offset_s=3.0, clock_error_s=2.5)], WANTED) == []


def test_the_odd_one_is_named() -> None:
    odd = node("10.0.0.4", gpus=(replace(H100, driver="590.1"),) * 8)
    [found] = diagnose([node(), node("10.0.0.3"), odd], WANTED)
    assert (found.node, found.wrong) == ("10.0.0.4", "its GPU driver is 590.1, the others have 580.65.06")


def test_this_machine_is_looked_at(tmp_path: Any) -> None:
    facts = look(str(tmp_path), {"a server": "http://127.0.0.1:1/health"})
    assert facts.temp_free_gb > 0 and facts.open_files > 0
    assert "does not answer" in facts.unreached["a server"]


@contextmanager
def server(code: int) -> Iterator[str]:
    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(code)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Answer) as http:
        Thread(target=http.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{http.server_port}"
        http.shutdown()


@pytest.mark.parametrize(("code", "reached"), [(200, True), (401, True), (502, False)])
def test_reaching_an_address(code: int, reached: bool) -> None:
    with server(code) as url:
        assert (reach_http(url) is None) is reached
        assert reach_endpoint({"AWS_ENDPOINT_URL": url}) is None
    assert "does not answer" in (reach_endpoint({"AWS_ENDPOINT_URL_S3": url}) or "")
    assert "no http(s) address" in (reach_http("file:///etc/passwd") or "")
