"""A whole cluster on one machine: a person, a cloud that boots hosts, an S3 server, MLflow on PostgreSQL.

    with Lab(folder, python_of_api) as lab:
        lab.render(); lab.up()
        lab.cli("submit", "--wait", "train", str(lab.recipe))

Everything is real but EC2 itself, the GPUs, and the network between the hosts.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import yaml
from cloud_hosts import Cloud
from lab_services import Services
from terraform_outputs import outputs, write_outputs
from training_runs import EXACT
from workplace import Workplace

from cluster.auth import ensure_token

PATIENCE_S = 600
NUM_STEPS = 80

# What the person's machine runs beside the product. UPLOAD: a folder into the bucket.
UPLOAD = """
import sys
from pathlib import Path
from data_pipeline import storage
folder, url = sys.argv[1:]
for path in Path(folder).rglob("*"):
    if path.is_file():
        storage.upload(str(path), f"{url}/{path.relative_to(folder)}")
"""

# The newest complete checkpoint of a training, once a line that it is told; -1: none.
NEWEST = """
import sys
from rm_core.checkpoints import CheckpointStore
store = CheckpointStore(f"{sys.argv[1]}/checkpoints")
for _ in sys.stdin:
    print(max(store.complete_steps(), default=-1), flush=True)
"""

# All that MLflow knows of a training's run, and how many runs there are.
RUN = """
import json, sys
from mlflow import MlflowClient
from data_pipeline import storage
uri, output, *names = sys.argv[1:]
client = MlflowClient(uri)
run = client.get_run(json.loads(storage.read_bytes(f"{output}/job_state.json"))["mlflow_run_id"])
points = {name: [(one.step, one.value) for one in client.get_metric_history(run.info.run_id, name)] for name in names}
count = len(client.search_runs([run.info.experiment_id], f"attributes.run_name = '{run.info.run_name}'"))
print(json.dumps({"state": run.info.status, "points": points, "tags": run.data.tags, "params": run.data.params,
                  "runs": count, "files": [one.path for one in client.list_artifacts(run.info.run_id)]}))
"""


class Lab:
    """The cluster, its services, and what a person does with them.

    Args:
        folder: below which everything lies; not below /tmp, which is another one on each host.
        python_of_api: an interpreter with Moto.
    """

    def __init__(self, folder: Path, python_of_api: Path) -> None:
        self.folder = folder
        self.cloud = Cloud(folder, python_of_api)
        self.token = folder / "keys" / "token"
        self.env: dict[str, str] = {}

    def __enter__(self) -> Self:
        self.cloud.open()
        try:
            self.services = Services(self.cloud.hosts, self.folder)
            self.cloud.tell(self.services.env)
            ensure_token(self.token)
            self.env = {
                "RAY_AUTH_TOKEN_PATH": str(self.token),
                "XDG_STATE_HOME": str(self.folder / "state"),
                "COLUMNS": "200",
                **self.services.mlflow_env,
            }
            self.recipe = self._write_recipe()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if hasattr(self, "services"):
            self.services.close()
        self.cloud.close()

    def start(self, *words: str) -> subprocess.Popen[str]:
        """`basereward WORDS` on the person's machine."""
        return self.cloud.start([sys.executable, "-m", "jobs", *words], **self.env)

    def cli(self, *words: str, code: int = 0) -> str:
        """What it printed; it must end with exit code `code`."""
        return ended(self.start(*words), code)

    def run_python(self, script: str, *words: str, code: int = 0, **env: str) -> str:
        """What a script printed on the person's machine."""
        return ended(self.cloud.start([sys.executable, "-c", script, *words], **(self.env | env)), code)

    def up(self, **settings: object) -> str:
        """Render the file of Ray's launcher from what there is, and bring the head up; returns its address."""
        made, values = self.cloud.made, outputs()
        common = {"instance_profile_arn": made["profile"], "subnet_id": made["subnet"]}
        # One CPU a node: two workers of one CPU are two nodes.
        group = values["worker_groups"]["a10g"] | common | {"max_nodes": 2, "cpus": 1}
        group["launch_templates"] = [made["worker"] | {"purchase": "on_demand", "price_per_hour": 5.672}]
        changed = {
            "network": {"zone": "us-east-1a", "subnet_id": made["subnet"], "security_group_id": made["group"]},
            "ssh": {"user": "root", "key_name": "team"},
            "head": values["head"] | common | {"launch_template": made["head"]},
            "worker_groups": {"a10g": group},
        }
        path = write_outputs(self.folder / "outputs.json", **changed)
        told = {"image": "none", "ssh_key": self.cloud.key, "token": self.token, "output": self.folder / "files"}
        words = [f"{name}={value}" for name, value in (told | settings).items()]
        self.cli("cluster", "render", "ray-up", "--from-terraform", path, *words)
        printed = self.cli("cluster", "up", self.file)
        assert self.token.read_text() not in printed
        [head] = self.cloud.running()
        assert f"the head is {head}" in printed
        self.env["RAY_API_SERVER_ADDRESS"] = f"http://{head}:8265"
        listing = [sys.executable, "-m", "jobs", "jobs", "list"]
        self.wait_until(lambda: self.cloud.code_of(listing, **self.env) == 0, "no head answers")
        return head

    @property
    def file(self) -> str:
        """What was rendered."""
        return f"{self.folder}/files/ray-up.yaml"

    def workers(self, head: str) -> list[str]:
        """Addresses of the running instances but the head."""
        return [one for one in self.cloud.running() if one != head]

    def watch(self, output: str) -> "Watch":
        return Watch(self.cloud.start([sys.executable, "-c", NEWEST, output], **self.env))

    def run_of(self, output: str) -> dict[str, Any]:
        """What MLflow knows of the training that wrote `output`."""
        printed = self.run_python(RUN, self.services.mlflow, output, *EXACT)
        found: dict[str, Any] = json.loads(printed.splitlines()[-1])
        return found

    def get(self, path: str) -> str:
        """An answer of the dashboard to a holder of the token that is no browser."""
        header = f"Authorization: Bearer {self.token.read_text()}"
        return ended(self.cloud.start(["curl", "-s", "-H", header, self.env["RAY_API_SERVER_ADDRESS"] + path]))

    def status_of(self, path: str, token: str | None) -> int:
        """The HTTP status of an answer of the dashboard."""
        header = [] if token is None else ["-H", f"Authorization: Bearer {token}"]
        command = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", *header]
        return int(ended(self.cloud.start([*command, self.env["RAY_API_SERVER_ADDRESS"] + path])))

    def wait_until(self, found: Callable[[], bool], told: str, process: subprocess.Popen[str] | None = None) -> None:
        """Until something is so, or `process` has ended without it."""
        deadline_s = time.monotonic() + PATIENCE_S
        while not found():
            if process is not None and process.poll() is not None:
                raise AssertionError(f"{told}: {process.communicate()[0]}")
            assert time.monotonic() < deadline_s, f"{told}: {self.cloud.instances()}"
            time.sleep(0.5)

    def _write_recipe(self) -> Path:
        """A recipe whose data, shards, model and checkpoints lie in the bucket."""
        place = Workplace(self.folder / "mine")
        recipe = yaml.safe_load(place.recipe.read_text())
        bucket = self.services.bucket
        recipe |= {"name": "lab", "run_dir": f"{bucket}/run", "data_root": f"{bucket}/raw"}
        recipe["train"] |= {
            "max_steps": NUM_STEPS,
            "checkpoint_every": 5,
            "cache_dir": "/tmp/cache",  # each host's own
            # Hosts without GPUs play those with: the place is asked for by type, and the work is done by CPUs.
            "group": {"accelerator": "A10G", "watch_s": 1.0},
        }
        recipe["tracking"] = {"uri": self.services.mlflow, "experiment": "lab"}
        recipe["cluster"] = {"device": "cpu", "submit": {"env": sorted(self.services.mlflow_env), "retries": 3}}
        place.recipe.write_text(yaml.safe_dump(recipe), encoding="utf8")
        self.run_python(UPLOAD, str(place.folder / "raw"), f"{bucket}/raw")
        return place.recipe


class Watch:
    """The checkpoints of a training in the bucket."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def newest(self) -> int:
        """The step of the newest complete one; -1: none."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line.strip().lstrip("-").isdigit():
            # `communicate` would leave out what `readline` has read ahead.
            raise AssertionError(line + self._process.stdout.read())
        return int(line)

    def close(self) -> None:
        self._process.communicate(timeout=60)


def ended(process: subprocess.Popen[str], code: int = 0) -> str:
    """What a process printed; it must end with exit code `code`."""
    printed, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == code, printed
    return printed
