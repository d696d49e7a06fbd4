"""How many submissions and status calls one head answers: `python -m benchmarks.submissions`.

Submits jobs that end at once, so many at a time, to the head of RAY_API_SERVER_ADDRESS (or --address; where there is
neither, to one that is started here), follows each to its end, and asks for the list of all jobs meanwhile. Every
submission has to be taken, to end with 0 and to be in the list; every call has to be answered. The last line printed is
one JSON object: figures and goals.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from benchmarks.common.goals import Goals, finish, hardware
from cluster.package import pack
from cluster.session import ray_session
from cluster.submission.job import Submission, new_id
from cluster.submission.jobs_api import JobsApi

PATIENCE_S = 900.0
GOALS: Goals = {"jobs_lost": ("at_most", 0), "calls_unanswered": ("at_most", 0)}


def timed(call: Callable[[], object]) -> float:
    """Seconds that `call` took."""
    began_s = time.perf_counter()
    call()
    return time.perf_counter() - began_s


def run_one(api: JobsApi, package: str, number: int) -> tuple[str, float, float]:
    """Submit a job and wait for its end; its id, and the seconds of the submission and of all of it."""
    job = Submission(id=new_id("load", [str(number)]), words=("this",), package=package)
    began_s = time.perf_counter()
    submitted_s = timed(lambda: api.submit(job))
    while True:
        state = api.job(job.id)
        assert state is not None, f"{job.id} is lost"
        if state.ended:
            assert state.exit_code == 0, f"{job.id} ended with {state.exit_code}: {state.message}"
            return job.id, submitted_s, time.perf_counter() - began_s
        assert time.perf_counter() - began_s < PATIENCE_S, f"{job.id} is {state.status} after {PATIENCE_S:.0f} s"
        time.sleep(1)


def spread(name: str, seconds: list[float]) -> dict[str, float]:
    """Median, 99th percentile and worst, in seconds."""
    ordered = sorted(seconds)
    late = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
    shown = {"median_s": statistics.median(ordered), "p99_s": late, "worst_s": ordered[-1]}
    return {f"{name}_{part}": round(one, 3) for part, one in shown.items()}


@contextmanager
def head(address: str | None) -> Iterator[JobsApi]:
    """The head at `address`, or one that is started here."""
    if address or os.environ.get("RAY_API_SERVER_ADDRESS"):
        yield JobsApi(address)
        return
    with ray_session(None) as cluster:
        yield JobsApi(cluster.dashboard_url)


def load(api: JobsApi, num_jobs: int, num_calls: int, under_way: int) -> dict[str, float]:
    """Submit, follow and ask; the figures."""
    began_s = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(under_way) as slots, ThreadPoolExecutor(8) as pool:
        package = str(pack(["cluster"], {}, Path(folder)).file)
        jobs = [slots.submit(run_one, api, package, number) for number in range(num_jobs)]
        calls = [pool.submit(timed, api.jobs) for _ in range(num_calls)]
        answers = [call.result() for call in calls if call.exception() is None]
        for error in {str(call.exception()) for call in calls} - {"None"}:
            print(f"a call was not answered: {error}", file=sys.stderr)
        ended = [job.result() for job in jobs]
    listed = {job.id for job in api.jobs()}
    return {
        "jobs": len(ended),
        "jobs_lost": len([name for name, _, _ in ended if name not in listed]),
        "calls": num_calls,
        "calls_unanswered": num_calls - len(answers),
        "under_way": under_way,
        **spread("submission", [one for _, one, _ in ended]),
        **spread("job_to_its_end", [one for _, _, one in ended]),
        **spread("call", answers),
        "seconds": round(time.perf_counter() - began_s, 1),
    }


def main(argv: list[str] | None = None) -> int:
    """Parse, load, report."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.submissions", description=__doc__.splitlines()[0] if __doc__ else None
    )
    parser.add_argument("--address", help="http://HEAD:8265; default: RAY_API_SERVER_ADDRESS, or a head started here")
    parser.add_argument("--jobs", type=int, help="default 200; 30 with --quick")
    parser.add_argument("--calls", type=int, default=2000, help="lists of all jobs, default 2000")
    parser.add_argument("--under-way", type=int, default=4, help="jobs at the same time, default 4")
    parser.add_argument("--quick", action="store_true", help="30 jobs")
    parser.add_argument("--output", help="a file for the JSON object, with command and hardware")
    arguments = parser.parse_args(argv)
    num_jobs = arguments.jobs or (30 if arguments.quick else 200)
    with head(arguments.address) as api:
        figures = load(api, num_jobs, arguments.calls, arguments.under_way)
    for name, value in figures.items():
        print(f"{name:28}{value:>14}")
    return finish("benchmarks.submissions", argv, hardware("ray"), figures, GOALS, arguments.output)


if __name__ == "__main__":
    sys.exit(main())
