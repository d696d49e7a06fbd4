"""The entries ``submit`` and ``jobs`` of the table in `jobs.cli.commands`."""

from jobs.cli.command import ADDRESS, CommandGroup, PlainCommand, ValueFlag

__all__ = ["JOBS", "SUBMIT"]

_JOB = "the job's id, from basereward submit or basereward jobs list"

SUBMIT = PlainCommand(
    "run a command as a job of a Ray cluster",
    "jobs.submit.submit:submit",
    "basereward submit --wait --env MLFLOW_TRACKING_PASSWORD train mine.yaml train.num_workers=16",
    positionals=("COMMAND", "[RECIPE]", "[key=value ...]"),
    positionals_help="a command with a recipe, its recipe, and overrides; they are read here, before anything is sent",
    flags={
        "wait": "follow the job, and end with its exit code; Ctrl-C detaches",
        "unpinned": "let the cluster have other versions of Python and libraries than there are here",
    },
    value_flags={
        "address": ADDRESS,
        "env": ValueFlag("NAME", "send this variable of the environment along, sealed; may be repeated", repeat=True),
        "package": ValueFlag("P", "an s3:// folder that the code goes to, or `image`: the nodes have it already"),
        "retries": ValueFlag("N", "how often --wait submits an interrupted job again; default: cluster.submit.retries"),
    },
    raw_arguments=True,
    wants_recipe_commands=True,
)

JOBS = CommandGroup(
    "list, follow, stop and retry submitted jobs",
    {
        "list": PlainCommand(
            "list the cluster's submitted jobs, the newest first",
            "jobs.submit.commands:list_jobs",
            "basereward jobs list --address http://10.0.0.5:8265",
            positionals=(),
            value_flags={"address": ADDRESS},
        ),
        "status": PlainCommand(
            "show one job: state, exit code, what it was made of",
            "jobs.submit.commands:status",
            "basereward jobs status train-1f0c2a9b-20260102T030405123456",
            positionals=("ID",),
            positionals_help=_JOB,
            value_flags={"address": ADDRESS},
        ),
        "logs": PlainCommand(
            "print what a job printed; -f follows it and ends with its exit code",
            "jobs.submit.commands:logs",
            "basereward jobs logs -f train-1f0c2a9b-20260102T030405123456",
            positionals=("ID",),
            positionals_help=_JOB,
            flags={"follow": "go on until the job has ended; Ctrl-C detaches"},
            short={"follow": "f"},
            value_flags={"address": ADDRESS},
        ),
        "stop": PlainCommand(
            "send SIGTERM to a job, which ends after its step with a checkpoint, and wait for its end",
            "jobs.submit.commands:stop",
            "basereward jobs stop train-1f0c2a9b-20260102T030405123456",
            positionals=("ID",),
            positionals_help=_JOB,
            value_flags={"address": ADDRESS},
        ),
        "retry": PlainCommand(
            "submit a job of this machine again, with the same code and recipe; it goes on where it stopped",
            "jobs.submit.commands:retry",
            "basereward jobs retry train-1f0c2a9b-20260102T030405123456",
            positionals=("ID",),
            positionals_help=_JOB,
            flags={"wait": "follow the job, and end with its exit code; Ctrl-C detaches"},
            value_flags={"address": ADDRESS},
        ),
    },
)
