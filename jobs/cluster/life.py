"""`basereward cluster up|status|down`: Ray's launcher on a rendered file, and what a cluster has."""

from cluster.submission.jobs_api import DASHBOARD_PORT
from jobs.runtime.terminal import columns, say
from jobs.submit.send_and_follow import cluster_errors

__all__ = ["down", "status", "up"]


def up(file: str) -> int:
    """Start the cluster, and say how to go on.

    Raises:
        UserError: no such file.
        RunError: the launcher failed.
    """
    from cluster.render.launcher import bring_up, head_address, tunnel_of

    with cluster_errors():
        bring_up(file)
        head, tunnel = head_address(file), tunnel_of(file)
    say(f"the head is {head}; workers come when a job asks for them, and go when they are idle")
    if tunnel is not None:
        say(f"  sh {tunnel} &    # the way to it, by Session Manager")
    say(f"  export RAY_API_SERVER_ADDRESS=http://{head if tunnel is None else '127.0.0.1'}:{DASHBOARD_PORT}")
    say("  basereward cluster doctor; basereward submit --wait train mine.yaml")
    say(f"  basereward cluster down {file}    # the head costs money until then")
    return 0


def down(file: str) -> int:
    """End the cluster's instances.

    Raises:
        UserError: no such file.
        RunError: the launcher failed: instances may be left.
    """
    from cluster.render.launcher import take_down

    with cluster_errors():
        take_down(file)
    say("all instances are ending; buckets, the database and what else Terraform made stay until terraform destroy")
    return 0


def status(*, address: str | None) -> int:
    """Nodes, resources, and jobs that are not over."""
    from cluster.submission.jobs_api import JobsApi

    with cluster_errors():
        api = JobsApi(address)
        nodes, jobs = api.nodes(), api.jobs()
    rows = [(one.address, "head" if one.is_head else "", one.state, _amounts(one.total), one.id[:8]) for one in nodes]
    columns(f"Nodes of {api.url}", ("address", "", "state", "has", "id"), rows)
    alive = [one for one in nodes if one.state == "ALIVE"]
    totals: dict[str, float] = {}
    for one in alive:
        for name, amount in one.total.items():
            totals[name] = totals.get(name, 0.0) + amount
    say(f"{len(alive)} of {len(nodes)} nodes alive: {_amounts(totals) or 'no resources'}")
    running = [job for job in jobs if not job.ended]
    for job in running:
        say(f"{job.status.lower()}: {job.id} (attempt {job.metadata.get('attempt', '?')})")
    if not running:
        say("no job runs")
    return 0


def _amounts(resources: dict[str, float]) -> str:
    shown = {name: amount for name, amount in sorted(resources.items()) if not name.startswith("node:")}
    return ", ".join(
        f"{amount / 1024**3:.1f} GB {name.replace('_', ' ')}" if "memory" in name else f"{amount:g} {name}"
        for name, amount in shown.items()
    )
