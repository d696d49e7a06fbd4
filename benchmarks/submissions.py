"""How many submissions and status calls one head answers: `python -m benchmarks.submissions --jobs 200 --calls 2000`.

Submits jobs that end at once, so many at a time, to the head of RAY_API_SERVER_ADDRESS (or --address), follows each to
its end, and asks for states meanwhile. Every submission has to be taken, to end with 0 and to be in the list; every
call has to be answered. The last line printed is one JSON object: figures and goals.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from cluster.jobs_api import JobsApi
from cluster.package import pack
from cluster.submission import Submission, new_id

PATIENCE_S = 900.0


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


def figures_of(seconds: list[float]) -> dict[str, float]:
    """Count, median, 99th percentile and worst, in seconds."""
    ordered = sorted(seconds)
    late = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
    shown = {"median_s": statistics.median(ordered), "p99_s": late, "worst_s": ordered[-1]}
    return {"count": len(ordered), **{name: round(one, 3) for name, one in shown.items()}}


def main() -> None:
    """Parse, load, report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--address")
    parser.add_argument("--jobs", type=int, default=200)
    parser.add_argument("--calls", type=int, default=2000)
    parser.add_argument("--under-way", type=int, default=4)
    arguments = parser.parse_args()
    api = JobsApi(arguments.address)
    began_s = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(arguments.under_way + 4) as pool:
        package = str(pack(["cluster"], {}, Path(folder)).file)
        slots = ThreadPoolExecutor(arguments.under_way)
        jobs = [slots.submit(run_one, api, package, number) for number in range(arguments.jobs)]
        calls = [pool.submit(timed, api.jobs) for _ in range(arguments.calls)]
        answers = [call.result() for call in calls]
        ended = [job.result() for job in jobs]
        slots.shutdown()
    listed = {job.id for job in api.jobs()}
    figures = {
        "submissions": figures_of([one for _, one, _ in ended]),
        "jobs_to_their_end": figures_of([one for _, _, one in ended]),
        "status_calls": figures_of(answers),
        "under_way": arguments.under_way,
        "seconds": round(time.perf_counter() - began_s, 1),
        "lost": len([job_id for job_id, _, _ in ended if job_id not in listed]),
    }
    goals = {"all_answered": len(answers) == arguments.calls, "none_lost": figures["lost"] == 0}
    print(json.dumps({"figures": figures, "goals": goals}))
    sys.exit(not all(goals.values()))


if __name__ == "__main__":
    main()
