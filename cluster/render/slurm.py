"""A batch script for Slurm: one Ray cluster for the length of one job, by `ray symmetric-run` on every node.

Slurm tells the script some minutes before the time is up, and the script tells the training, and only that: it ends
after its step with a checkpoint, and the job puts itself back into the queue.
"""

import re
import shlex
import subprocess

from cluster.errors import Refused
from cluster.render.common import CACHE_ENV, EFA_ENV, GCS_PORT, RAY_ENV
from cluster.render.outputs import Outputs, WorkerGroup

__all__ = ["FILE", "check_directives", "render"]

FILE = "train.sbatch"
SIGNAL_S = 300
_DIRECTIVE = re.compile(r"#SBATCH --(?P<name>[a-z-]+)(?:=(?P<value>\S+))?")
_ALLOWED = {
    "job-name", "nodes", "ntasks-per-node", "cpus-per-task", "gpus-per-node", "exclusive", "mem", "time", "signal",
    "requeue", "open-mode", "output", "partition", "account",
}  # fmt: skip


def render(
    outputs: Outputs, *, group: WorkerGroup, nodes: int, time: str, partition: str | None, recipe: str
) -> dict[str, str]:
    """`train.sbatch`, checked by `bash -n` and against the directives that Slurm knows.

    Args:
        nodes: so many, all with `group`'s CPUs and GPUs.
        time: the limit, ``D-HH:MM:SS``.
        recipe: the recipe's path on the nodes.

    Raises:
        Refused: something in it can't be.
    """
    directives = {
        "job-name": outputs.name,
        "nodes": str(nodes),
        "ntasks-per-node": "1",
        "cpus-per-task": str(group.cpus),
        **({"gpus-per-node": str(group.gpus_per_node)} if group.gpus_per_node else {}),
        "exclusive": None,
        "mem": "0",
        "time": time,
        "signal": f"B:TERM@{SIGNAL_S}",
        "requeue": None,
        "open-mode": "append",
        "output": "%x-%j.log",
        **({"partition": partition} if partition else {}),
    }
    head = "\n".join(f"#SBATCH --{name}" + ("" if value is None else f"={value}") for name, value in directives.items())
    cache = {CACHE_ENV: group.cache_dir} if group.cache_dir else {}
    env = (
        RAY_ENV | (EFA_ENV if group.efa_interfaces else {}) | cache | {"RAY_SYMMETRIC_RUN_CLUSTER_WAIT_TIMEOUT": "600"}
    )
    exports = "\n".join(f"export {name}={shlex.quote(value)}" for name, value in env.items())
    text = _SCRIPT.format(
        head=head,
        name=outputs.name,
        exports=exports,
        mlflow=shlex.quote(outputs.mlflow_uri),
        port=GCS_PORT,
        gpus=group.gpus_per_node,
        cpus=group.cpus,
        recipe=shlex.quote(recipe),
        signal_s=SIGNAL_S,
    )
    check_directives(text)
    _check_shell(text)
    return {FILE: text}


def check_directives(text: str) -> None:
    """Raises:
    Refused: a directive that is unknown, given twice, behind a command, or without a sensible value.
    """
    seen: set[str] = set()
    commands = False
    for line in text.splitlines():
        if not line.startswith("#SBATCH"):
            commands = commands or bool(line.strip() and not line.startswith("#"))
            continue
        found = _DIRECTIVE.fullmatch(line)
        if found is None or found["name"] not in _ALLOWED:
            raise Refused(f"{line!r} is no directive that is written here: one of {', '.join(sorted(_ALLOWED))}")
        if commands:
            raise Refused(f"{line!r} stands behind a command, where Slurm does not read it")
        if found["name"] in seen:
            raise Refused(f"{line!r} is given twice")
        seen.add(found["name"])
        if found["name"] == "time" and not re.fullmatch(r"(\d+-)?\d{1,2}:\d{2}:\d{2}", found["value"] or ""):
            raise Refused(f"time={found['value']} is not D-HH:MM:SS, such as 1-00:00:00")


def _check_shell(text: str) -> None:
    done = subprocess.run(["bash", "-n"], input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Refused(f"bash refuses the script: {done.stderr.strip()}")


_SCRIPT = """#!/bin/bash
# {name}: made by basereward cluster render.
# Submit it with: sbatch train.sbatch
{head}

set -euo pipefail

# The token of this job's cluster: a file that only its owner may read, on a folder that all nodes share.
umask 077
export RAY_AUTH_TOKEN_PATH="$HOME/.basereward-token-$SLURM_JOB_ID"
[ -s "$RAY_AUTH_TOKEN_PATH" ] || od -An -N32 -tx1 /dev/urandom | tr -d ' \\n' >"$RAY_AUTH_TOKEN_PATH"
trap 'rm -f "$RAY_AUTH_TOKEN_PATH"' EXIT
{exports}
export MLFLOW_TRACKING_URI=${{MLFLOW_TRACKING_URI:-{mlflow}}}
export RAY_TMPDIR="${{TMPDIR:-/tmp}}"

head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
address="$(getent ahostsv4 "$head" | awk 'NR == 1 {{print $1}}'):{port}"

# Slurm's SIGTERM comes to this script alone, {signal_s} s before the end, and goes on to the training alone, whose
# process is on this node: the first, which is the head. It writes a checkpoint and ends with 143.
driver="$RAY_TMPDIR/basereward-$SLURM_JOB_ID.pid"
trap '[ -s "$driver" ] && kill -TERM "$(cat "$driver")"' TERM
srun --kill-on-bad-exit=1 --wait=0 \
  ray symmetric-run --address "$address" --min-nodes "$SLURM_JOB_NUM_NODES" \
  --num-cpus={cpus} --num-gpus={gpus} --disable-usage-stats -- \
  sh -c 'echo $$ >"$1"; shift; exec python -m jobs train "$@"' sh "$driver" {recipe} --address auto "$@" &
step=$!
code=0
wait "$step" || code=$?
while kill -0 "$step" 2>/dev/null; do # the wait above ends when a signal comes in
  code=0
  wait "$step" || code=$?
done

if [ "$code" -eq 143 ]; then
  echo "ended by SIGTERM with a checkpoint: back into the queue"
  scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
"""
