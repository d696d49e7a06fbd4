"""The entry ``cluster`` of the table in `jobs.cli.commands`."""

from data_pipeline.bounds import Bounds
from jobs.cli.command import ADDRESS, CommandGroup, Option, PlainCommand, ValueFlag

__all__ = ["CLUSTER"]

_FILE = "a ray-up.yaml that basereward cluster render wrote"
_COUNT = Bounds(at_least=0)

CLUSTER = CommandGroup(
    "write a launcher's files, start and end a cluster, look after its nodes",
    {
        "render": PlainCommand(
            "write the files of a launcher from Terraform's outputs, checked: ray-up, kuberay or slurm",
            "jobs.cluster.render:render",
            "basereward cluster render ray-up --from-terraform outputs.json output=rendered",
            positionals=("KIND",),
            positionals_help="ray-up, kuberay or slurm",
            options={
                "output": Option("rendered", "the folder"),
                "image": Option(None, "tag of the training image, by default this version; none: Ray is on the AMI"),
                "ssh_key": Option(None, "the private key of ssh.key_name, by default ~/.ssh/KEY_NAME.pem"),
                "token": Option(None, "a file with a token to copy to nodes, by default Secrets Manager's"),
                "idle_minutes": Option(10, "a worker without work is given back after so long", _COUNT),
                "group": Option(None, "the worker group of kuberay's and slurm's job; needed where there are more"),
                "nodes": Option(0, "nodes of kuberay's and slurm's job; 0: all that the group may have", _COUNT),
                "time": Option("1-00:00:00", "slurm's limit"),
                "partition": Option(None, "slurm's partition"),
                "recipe": Option("recipe.yaml", "the recipe that slurm's job trains"),
                "serve": Option(
                    None, "a recipe, whose serve section a RayService of kuberay runs; or a Ray Serve config file"
                ),
            },
            value_flags={"from-terraform": ValueFlag("FILE", "what terraform output -json wrote")},
        ),
        "up": PlainCommand(
            "start the cluster of a rendered ray-up.yaml, or bring it up to date",
            "jobs.cluster.life:up",
            "basereward cluster up rendered/ray-up.yaml",
            positionals=("FILE",),
            positionals_help=_FILE,
        ),
        "status": PlainCommand(
            "show a cluster's nodes, what they have, and what runs",
            "jobs.cluster.life:status",
            "basereward cluster status --address http://10.0.0.5:8265",
            positionals=(),
            value_flags={"address": ADDRESS},
        ),
        "down": PlainCommand(
            "end all instances of a rendered ray-up.yaml; what Terraform made stays",
            "jobs.cluster.life:down",
            "basereward cluster down rendered/ray-up.yaml",
            positionals=("FILE",),
            positionals_help=_FILE,
        ),
        "doctor": PlainCommand(
            "say which steps to a running cluster are missing, then check every node: GPUs, drivers, network, clock, "
            "disk, S3, MLflow; each with its cure",
            "jobs.cluster.doctor:doctor",
            "basereward cluster doctor --address http://10.0.0.5:8265 s3=s3://bucket/shards gpus=8",
            positionals=(),
            options={
                "gpus": Option(0, "GPUs that each worker node should have", _COUNT),
                "efa": Option(0, "EFA devices that each worker node should have", _COUNT),
                "disk_gb": Option(50, "free space that each node needs in its temporary folder", _COUNT),
                "object_store_gb": Option(1, "what each worker's object store should have", _COUNT),
                "bandwidth_gbps": Option(0, "Gbit/s that an all-reduce over the nodes should reach; 0: any", _COUNT),
                "s3": Option(None, "an s3:// folder that the nodes should reach"),
                "mlflow": Option(None, "an MLflow server's URL that the nodes should reach"),
                "recipe": Option(None, "a recipe whose data, model, benchmarks and variables should be there"),
                "image": Option(None, "tag of the training image, by default this version; none: Ray is on the AMI"),
            },
            value_flags={
                "from-terraform": ValueFlag(
                    "FILE", "what terraform output -json wrote: look at the account's steps too"
                ),
                "address": ValueFlag("A", "http://HEAD:8265 runs it as a job; on a node: host:6379, or auto"),
            },
        ),
    },
)
