"""``submit`` and ``jobs``, as the command line reads them."""

from jobs.cli.command import ADDRESS, Action, Group, Valued

__all__ = ["JOBS", "SUBMIT"]

_JOB = "the job's id, from basereward submit or basereward jobs list"

SUBMIT = Action(
    "run a verb as a job of a Ray cluster",
    "jobs.submit.submit:submit",
    "basereward submit --wait --env MLFLOW_TRACKING_PASSWORD train mine.yaml train.num_workers=16",
    places=("VERB", "[RECIPE]", "[key=value ...]"),
    places_help="a verb with a recipe, its recipe, and overrides; they are read here, before anything is sent",
    flags={
        "wait": "follow the job, and end with its exit code; Ctrl-C detaches",
        "unpinned": "let the cluster have other versions of Python and libraries than there are here",
    },
    values={
        "address": ADDRESS,
        "env": Valued("NAME", "send this variable of the environment along, sealed; may be repeated", repeat=True),
        "package": Valued("P", "an s3:// folder that the code goes to, or `image`: the nodes have it already"),
        "retries": Valued("N", "how often --wait submits an interrupted job again; default: cluster.submit.retries"),
    },
    open_words=True,
)

JOBS = Group(
    "list, follow, stop and retry submitted jobs",
    {
        "list": Action(
            "list the cluster's submitted jobs, the newest first",
            "jobs.submit.commands:list_jobs",
            "basereward jobs list --address http://10.0.0.5:8265",
            places=(),
            values={"address": ADDRESS},
        ),
        "status": Action(
            "show one job: state, exit code, what it was made of",
            "jobs.submit.commands:status",
            "basereward jobs status train-1f0c2a9b-20260102T030405123456",
            places=("ID",),
            places_help=_JOB,
            values={"address": ADDRESS},
        ),
        "logs": Action(
            "print what a job printed; -f follows it and ends with its exit code",
            "jobs.submit.commands:logs",
            "basereward jobs logs -f train-1f0c2a9b-20260102T030405123456",
            places=("ID",),
            places_help=_JOB,
            flags={"follow": "go on until the job has ended; Ctrl-C detaches"},
            short={"follow": "f"},
            values={"address": ADDRESS},
        ),
        "stop": Action(
            "send SIGTERM to a job, which ends after its step with a checkpoint, and wait for its end",
            "jobs.submit.commands:stop",
            "basereward jobs stop train-1f0c2a9b-20260102T030405123456",
            places=("ID",),
            places_help=_JOB,
            values={"address": ADDRESS},
        ),
        "retry": Action(
            "submit a job of this machine again, with the same code and recipe; it goes on where it stopped",
            "jobs.submit.commands:retry",
            "basereward jobs retry train-1f0c2a9b-20260102T030405123456",
            places=("ID",),
            places_help=_JOB,
            flags={"wait": "follow the job, and end with its exit code; Ctrl-C detaches"},
            values={"address": ADDRESS},
        ),
    },
)
