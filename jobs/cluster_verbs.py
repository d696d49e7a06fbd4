"""The verbs of clusters and of jobs on them, as the command line reads them: ``submit``, ``jobs`` and ``cluster``."""

from jobs.actions import Action, Group, Option, Valued

__all__ = ["CLUSTER", "JOBS", "SUBMIT"]

_JOB = "the job's id, from basereward submit or basereward jobs list"
_FILE = "a ray-up.yaml that basereward cluster render wrote"
ADDRESS = Valued("A", "the head's Jobs API, http://HEAD:8265; default: RAY_API_SERVER_ADDRESS, or this machine")

SUBMIT = Action(
    "run a verb as a job of a Ray cluster",
    "jobs.submit:submit",
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
            "jobs.job_commands:list_jobs",
            "basereward jobs list --address http://10.0.0.5:8265",
            places=(),
            values={"address": ADDRESS},
        ),
        "status": Action(
            "show one job: state, exit code, what it was made of",
            "jobs.job_commands:status",
            "basereward jobs status train-1f0c2a9b-20260102T030405123456",
            places=("ID",),
            places_help=_JOB,
            values={"address": ADDRESS},
        ),
        "logs": Action(
            "print what a job printed; -f follows it and ends with its exit code",
            "jobs.job_commands:logs",
            "basereward jobs logs -f train-1f0c2a9b-20260102T030405123456",
            places=("ID",),
            places_help=_JOB,
            flags={"follow": "go on until the job has ended; Ctrl-C detaches"},
            short={"follow": "f"},
            values={"address": ADDRESS},
        ),
        "stop": Action(
            "send SIGTERM to a job, which ends after its step with a checkpoint, and wait for its end",
            "jobs.job_commands:stop",
            "basereward jobs stop train-1f0c2a9b-20260102T030405123456",
            places=("ID",),
            places_help=_JOB,
            values={"address": ADDRESS},
        ),
        "retry": Action(
            "submit a job of this machine again, with the same code and recipe; it goes on where it stopped",
            "jobs.job_commands:retry",
            "basereward jobs retry train-1f0c2a9b-20260102T030405123456",
            places=("ID",),
            places_help=_JOB,
            flags={"wait": "follow the job, and end with its exit code; Ctrl-C detaches"},
            values={"address": ADDRESS},
        ),
    },
)

CLUSTER = Group(
    "write a launcher's files, start and end a cluster, look after its nodes",
    {
        "render": Action(
            "write the files of a launcher from Terraform's outputs, checked: ray-up, kuberay or slurm",
            "jobs.cluster_files:render",
            "basereward cluster render ray-up --from-terraform outputs.json output=rendered",
            places=("KIND",),
            places_help="ray-up, kuberay or slurm",
            options={
                "output": Option("rendered", "the folder"),
                "image": Option(None, "tag of the training image, by default this version; none: Ray is on the AMI"),
                "ssh_key": Option(None, "the private key of ssh.key_name, by default ~/.ssh/KEY_NAME.pem"),
                "token": Option(None, "a file with a token to copy to nodes, by default Secrets Manager's"),
                "idle_minutes": Option(10, "a worker without work is given back after so long"),
                "group": Option(None, "the worker group of kuberay's and slurm's job; needed where there are more"),
                "nodes": Option(0, "nodes of kuberay's and slurm's job; 0: all that the group may have"),
                "time": Option("1-00:00:00", "slurm's limit"),
                "partition": Option(None, "slurm's partition"),
                "recipe": Option("recipe.yaml", "the recipe that slurm's job trains"),
                "serve": Option(None, "a Ray Serve config file; with it kuberay writes a RayService too"),
            },
            values={"from-terraform": Valued("FILE", "what terraform output -json wrote")},
        ),
        "up": Action(
            "start the cluster of a rendered ray-up.yaml, or bring it up to date",
            "jobs.cluster_life:up",
            "basereward cluster up rendered/ray-up.yaml",
            places=("FILE",),
            places_help=_FILE,
        ),
        "status": Action(
            "show a cluster's nodes, what they have, and what runs",
            "jobs.cluster_life:status",
            "basereward cluster status --address http://10.0.0.5:8265",
            places=(),
            values={"address": ADDRESS},
        ),
        "down": Action(
            "end all instances of a rendered ray-up.yaml; what Terraform made stays",
            "jobs.cluster_life:down",
            "basereward cluster down rendered/ray-up.yaml",
            places=("FILE",),
            places_help=_FILE,
        ),
        "doctor": Action(
            "check every node: GPUs, drivers, network, clock, disk, S3, MLflow; say what is wrong and the cure",
            "jobs.cluster_doctor:doctor",
            "basereward cluster doctor --address http://10.0.0.5:8265 s3=s3://bucket/shards gpus=8",
            places=(),
            options={
                "gpus": Option(0, "GPUs that each worker node should have"),
                "efa": Option(0, "EFA devices that each worker node should have"),
                "disk_gb": Option(50, "free space that each node needs in its temporary folder"),
                "object_store_gb": Option(1, "what each worker's object store should have"),
                "bandwidth_gbps": Option(0, "Gbit/s that an all-reduce over the nodes should reach; 0: any"),
                "s3": Option(None, "an s3:// folder that the nodes should reach"),
                "mlflow": Option(None, "an MLflow server's URL that the nodes should reach"),
            },
            values={"address": Valued("A", "http://HEAD:8265 runs it as a job; on a node: host:6379, or auto")},
        ),
    },
)
