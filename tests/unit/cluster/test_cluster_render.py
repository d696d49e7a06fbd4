"""Terraform's outputs as files of launchers: what stands in them, what is refused, what launchers say to them."""

import copy
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from ray.serve.schema import ServeDeploySchema
from terraform_outputs import BOOT, TUNNELS, outputs, write_outputs

from cluster.errors import Refused
from cluster.render import common, kuberay, ray_up, slurm
from cluster.render.common import MAX_CPUS_LABEL, MAX_GPUS_LABEL
from cluster.render.kuberay_schema import check
from cluster.render.launcher import tunnel_of
from cluster.render.outputs import Outputs, read_outputs
from cluster.render.reduce_crds import KINDS, TARGET, reduce_definitions
from data_pipeline.storage.cache import CACHE_ENV
from jobs.cli.main import main

ROOT = Path(__file__).parents[3]
KUBERNETES = "1.33"
SERVE = "applications:\n- {name: rewards, import_path: 'somewhere:app', route_prefix: /}\n"
CRDS = Path(os.environ.get("BASEREWARD_REAL_DATA", ROOT.parent / "shared" / "data")) / "kuberay_crds"


@pytest.fixture
def read(tmp_path: Path) -> Outputs:
    return read_outputs(write_outputs(tmp_path / "outputs.json"))


def rendered(one: Outputs, **changed: Any) -> dict[str, Any]:
    settings = {"image_tag": "0.1.0", "ssh_key": None, "idle_timeout_minutes": 10, "token": None} | changed
    parsed: dict[str, Any] = yaml.safe_load(ray_up.render(one, **settings)["ray-up.yaml"])
    return parsed


def test_ray_up_buys_spot_first_and_gives_the_head_no_work(read: Outputs) -> None:
    config = rendered(read)
    types = config["available_node_types"]
    assert sorted(types) == ["a10g-on-demand", "h100-on-demand", "h100-spot", "head"]
    assert types["h100-spot"]["priority"] > types["h100-on-demand"]["priority"]
    assert types["head"]["resources"] == {"CPU": 0} and types["head"]["max_workers"] == 0
    assert config["max_workers"] == 10 and config["idle_timeout_minutes"] == 10
    assert types["h100-spot"]["resources"] == {"CPU": 192, "GPU": 8, "accelerator_type:H100": 1}
    # Interfaces of the EFA template carry subnet and group; without EFA the node type does.
    assert "SubnetIds" not in types["h100-spot"]["node_config"]
    assert types["a10g-on-demand"]["node_config"]["SubnetIds"] == ["subnet-1"]
    assert all(one["node_config"]["UserData"] == BOOT for one in types.values())
    assert types["h100-spot"]["node_config"]["LaunchTemplate"] == {"LaunchTemplateId": "lt-h100sp", "Version": "3"}
    head, worker = config["head_start_ray_commands"][-1], config["worker_start_ray_commands"][-1]
    assert "RAY_AUTH_MODE=token" in head and "--num-cpus=0" in head and "0.0.0.0" not in head
    assert f"--labels={MAX_CPUS_LABEL}=1632,{MAX_GPUS_LABEL}=72" in head  # 8 x 192 and 2 x 48; 8 x 8 and 2 x 4
    assert "RAY_AUTH_MODE=token" in worker and "--block" in worker
    assert all(
        config[f"{kind}_start_ray_commands"][0].endswith("supervise.sh ~/basereward/node stop")
        for kind in ("head", "worker")
    )


def test_only_nodes_with_efa_have_its_devices(read: Outputs) -> None:
    """Docker starts no container with a device that is not there."""
    config = rendered(read)
    types, device = config["available_node_types"], "--device=/dev/infiniband"
    assert device not in config["docker"]["worker_run_options"] and "docker" not in types["a10g-on-demand"]
    for name in ("h100-spot", "h100-on-demand"):
        assert types[name]["docker"]["worker_run_options"] == [*config["docker"]["worker_run_options"], device]
    assert all("docker" not in one for one in rendered(read, image_tag=None)["available_node_types"].values())


def test_ray_up_holds_no_token(read: Outputs, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("s3cret" * 8)
    token.chmod(0o644)
    with pytest.raises(Refused, match="may be read by others"):
        rendered(read, token=str(token))
    token.chmod(0o600)
    config = rendered(read, token=str(token))
    assert config["file_mounts"]["~/.ray/auth_token"] == str(token)
    assert "s3cret" not in yaml.safe_dump(config)
    assert "cluster.nodes.token" in rendered(read)["setup_commands"][0]


def test_with_session_manager_the_launcher_logs_in_by_its_tunnel(tmp_path: Path) -> None:
    """By an instance's id, which a tunnel has in place of an address; and a script opens the way for a person."""
    assert "ssh_proxy_command" not in rendered(read_outputs(write_outputs(tmp_path / "outputs.json")))["auth"]
    path = write_outputs(tmp_path / "outputs.json", access={"session_manager": TUNNELS})
    assert main(["cluster", "render", "ray-up", "--from-terraform", path, f"output={tmp_path}/out"]) == 0
    file = tmp_path / "out" / ray_up.FILE
    auth = yaml.safe_load(file.read_text())["auth"]
    assert auth["ssh_proxy_command"] == TUNNELS["ssh_proxy"] and auth["ssh_proxy_use_node_id"]
    script = tunnel_of(str(file))
    assert script == tmp_path / "out" / "tunnel.sh"
    aws = tmp_path / "aws"
    aws.write_text('#!/bin/sh\necho "$@"\n')
    aws.chmod(0o755)

    def ran(*words: str) -> subprocess.CompletedProcess[str]:
        env = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
        return subprocess.run(["sh", str(script), *words], env=env, capture_output=True, text=True, check=False)

    assert ran().stdout == "ssm start-session --target i-1\n"
    assert ran("mlflow").stdout.endswith("host=mlflow.dev.ml.example.com\n")
    assert ran("shell").returncode == 2
    script.unlink()
    with pytest.raises(Refused, match=r"no .*tunnel.sh"):
        tunnel_of(str(file))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"ssh": {"user": "ubuntu", "key_name": None}}, "ssh.key_name is null"),
        ({"schema_version": 1}, "schema_version is 1"),
        ({"head": {"cpus": 8}}, "'instance_type' is missing"),
        ({"region": 5}, "Ray's launcher refuses provider.region"),
    ],
)
def test_what_cannot_be_rendered_is_one_line(
    changed: dict[str, Any], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_outputs(tmp_path / "outputs.json", **changed)
    assert main(["cluster", "render", "ray-up", "--from-terraform", path, f"output={tmp_path}/x"]) == 2
    printed = capsys.readouterr().err
    assert message in printed and printed.count("\n") == 1
    assert not (tmp_path / "x").exists()


def test_a_cluster_without_kubernetes_has_no_such_output(tmp_path: Path) -> None:
    assert read_outputs(write_outputs(tmp_path / "outputs.json", kubernetes=None)).kubernetes is None
    (tmp_path / "none.json").write_text("{}")
    with pytest.raises(Refused, match="Terraform has made nothing yet"):
        read_outputs(str(tmp_path / "none.json"))


def test_every_kind_is_written_by_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_outputs(tmp_path / "outputs.json")
    for kind in ("ray-up", "kuberay", "slurm"):
        assert main(["cluster", "render", kind, "--from-terraform", path, f"output={tmp_path}/out", "group=h100"]) == 0
    names = sorted(one.name for one in (tmp_path / "out").iterdir())
    assert names == ["kueue.yaml", "ray-up.yaml", "raycluster.yaml", "rayjob.yaml", "train.sbatch"]
    assert "1.20 $ an hour without workers, at most 460.00 $" in capsys.readouterr().out


def kuberay_files(read: Outputs, nodes: int = 8) -> dict[str, list[Any]]:
    group = next(one for one in read.worker_groups if one.name == "h100")
    files = kuberay.render(read, image_tag="0.1.0", group=group, nodes=nodes, serve=SERVE)
    return {name: list(yaml.safe_load_all(text)) for name, text in files.items()}


def test_a_rayjob_is_a_gang_with_tokens(read: Outputs) -> None:
    [job] = kuberay_files(read)["rayjob.yaml"]
    [workers] = job["spec"]["rayClusterSpec"]["workerGroupSpecs"]
    assert workers["replicas"] == workers["minReplicas"] == workers["maxReplicas"] == 8
    assert job["spec"]["suspend"] and job["metadata"]["labels"] == {"kueue.x-k8s.io/queue-name": "basereward"}
    assert job["spec"]["rayClusterSpec"]["authOptions"] == {"mode": "token"}
    assert job["spec"]["rayClusterSpec"]["headGroupSpec"]["labels"] == {MAX_CPUS_LABEL: "1520", MAX_GPUS_LABEL: "64"}
    [container] = workers["template"]["spec"]["containers"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "8"
    assert container["resources"]["limits"]["vpc.amazonaws.com/efa"] == "32"
    with pytest.raises(Refused, match="1 to 8"):
        kuberay_files(read, nodes=9)
    with pytest.raises(Refused, match="names no applications"):
        kuberay.render(read, image_tag="0.1.0", group=read.worker_groups[1], nodes=1, serve="applications: []")


def test_a_rayservice_serves_the_models_of_a_recipe(tmp_path: Path) -> None:
    path, recipe, folder = write_outputs(tmp_path / "outputs.json"), tmp_path / "mine.yaml", tmp_path / "out"
    recipe.write_text(
        "tracking: {uri: 'https://mlflow.example'}\nserve: {model: 'models:/m@champion', port: 9000, replicas: 2}\n"
    )
    words = ["cluster", "render", "kuberay", "--from-terraform", path, f"output={folder}", "group=h100"]
    assert main([*words, f"serve={recipe}"]) == 0
    service = yaml.safe_load((folder / "rayservice.yaml").read_text())
    config = yaml.safe_load(service["spec"]["serveConfigV2"])
    [application] = config["applications"]
    assert application["args"]["model"] == "models:/m@champion" and application["args"]["serve"]["gpus"] == 1.0
    assert ServeDeploySchema.model_validate(config).http_options.port == 9000
    cluster = service["spec"]["rayClusterConfig"]
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    ports = [group["template"]["spec"]["containers"][0]["ports"] for group in groups]
    assert all({"name": "serve", "containerPort": 9000} in found for found in ports)
    job = yaml.safe_load((folder / "rayjob.yaml").read_text())
    assert "serve" not in str(
        job["spec"]["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]["containers"][0]["ports"]
    )
    recipe.write_text("serve: {model: runs/mine}\n")
    assert main([*words, f"serve={recipe}"]) == 2


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("spec", "rayClusterSpec", "authOptions", "mode"), "disabled"),
        (("spec", "rayClusterSpec", "workerGroupSpecs", 0, "minReplica"), 1),
        (("spec", "shutdownAfterJobFinishes"), "yes"),
        (("metadata", "name"), "Not_A_Name"),
    ],
)
def test_a_mistake_in_an_object_is_refused(read: Outputs, path: tuple[Any, ...], value: Any) -> None:
    [job] = copy.deepcopy(kuberay_files(read)["rayjob.yaml"])
    node = job
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = value
    with pytest.raises(Refused):
        check(job)


def test_every_field_is_one_the_operators_know(read: Outputs) -> None:
    documents = [one for documents in kuberay_files(read).values() for one in documents]
    assert {one["kind"] for one in documents} == KINDS.keys()
    for document in documents:
        check(document)
        changed = copy.deepcopy(document)
        changed["spec"]["unknownField"] = {}
        with pytest.raises(Refused, match="unknownField"):
            check(changed)
    [job] = kuberay_files(read)["rayjob.yaml"]
    job["spec"]["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]["volumes"][0]["emptyDir"]["sizeLimt"] = "1Gi"
    with pytest.raises(Refused, match="sizeLimt"):
        check(job)


@pytest.mark.skipif(not CRDS.is_dir(), reason=f"no definitions of KubeRay and Kueue at {CRDS}")
def test_the_schemas_are_those_of_the_operators() -> None:
    assert TARGET.read_text(encoding="utf8") == reduce_definitions(CRDS)


def test_nodes_with_a_fast_disk_keep_their_copies_there(read: Outputs) -> None:
    assert common.CACHE_ENV == CACHE_ENV
    said = f"{CACHE_ENV}=/mnt/cache"
    assert said in rendered(read)["worker_start_ray_commands"][-1]
    [job] = kuberay_files(read)["rayjob.yaml"]
    [workers] = job["spec"]["rayClusterSpec"]["workerGroupSpecs"]
    assert {"name": CACHE_ENV, "value": "/mnt/cache"} in workers["template"]["spec"]["containers"][0]["env"]
    h100, a10g = sorted(read.worker_groups, key=lambda one: one.name, reverse=True)
    settings: dict[str, Any] = {"nodes": 1, "time": "0:10:00", "partition": None, "recipe": "mine.yaml"}
    assert said in slurm.render(read, group=h100, **settings)["train.sbatch"]
    assert said not in slurm.render(read, group=a10g, **settings)["train.sbatch"]


def test_pods_are_what_kubernetes_takes(read: Outputs) -> None:
    """The operators' definitions leave the inside of a pod's template open in places; Kubernetes itself does not."""
    files = kuberay_files(read)
    [job] = files["rayjob.yaml"]
    [cluster] = files["raycluster.yaml"]
    [service] = files["rayservice.yaml"]
    specs = [job["spec"]["rayClusterSpec"], cluster["spec"], service["spec"]["rayClusterConfig"]]
    groups = [group for spec in specs for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"])]
    pods = [{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, **group["template"]} for group in groups]
    assert len(pods) == 7  # three heads; two groups for the cluster, one each for the job and the service
    for pod in pods:
        kubernetes_validate.validate(pod, KUBERNETES, strict=True)
    pods[0]["spec"]["containers"][0]["imagePullPolice"] = "Always"
    with pytest.raises(kubernetes_validate.ValidationError, match="imagePullPolice"):
        kubernetes_validate.validate(pods[0], KUBERNETES, strict=True)


def test_the_batch_script_starts_one_ray_node_a_host(read: Outputs) -> None:
    group = next(one for one in read.worker_groups if one.name == "h100")
    settings: dict[str, Any] = {
        "group": group,
        "nodes": 4,
        "time": "1-00:00:00",
        "partition": None,
        "recipe": "a b.yaml",
    }
    text = slurm.render(read, **settings)["train.sbatch"]
    for line in ("--nodes=4", "--ntasks-per-node=1", "--gpus-per-node=8", "--exclusive", "--signal=B:TERM@300"):
        assert f"#SBATCH {line}\n" in text
    assert "RAY_AUTH_MODE=token" in text and "umask 077" in text and "'a b.yaml'" in text
    with pytest.raises(Refused, match="is not D-HH:MM:SS"):
        slurm.render(read, **{**settings, "time": "soon"})
    for wrong in ("#SBATCH --nodess=4", "echo x\n#SBATCH --nodes=4", "#SBATCH --nodes=4\n#SBATCH --nodes=5"):
        with pytest.raises(Refused):
            slurm.check_directives(wrong)


def test_the_batch_script_passes_on_a_signal_and_the_exit_code(read: Outputs, tmp_path: Path) -> None:
    """With stand-ins for Slurm's and Ray's commands: the script gets SIGTERM, the training ends with 143."""
    group = read.worker_groups[0]
    text = slurm.render(read, group=group, nodes=1, time="0:10:00", partition=None, recipe="mine.yaml")["train.sbatch"]
    stand_ins = {
        "scontrol": 'echo "scontrol $*" >>"$LOG"; echo node1',
        "getent": 'echo "127.0.0.1 node1"',
        "srun": 'while [ "$1" != ray ]; do shift; done; exec "$@"',
        "ray": 'while [ "$1" != -- ]; do shift; done; shift; exec "$@"',
        "python": 'trap "echo checkpoint >>$LOG; exit 143" TERM; echo "python $*" >>"$LOG"\n'
        'kill -TERM "$BATCH"; i=0; while [ $i -lt 100 ]; do sleep 0.1; i=$((i + 1)); done',
    }
    for name, body in stand_ins.items():
        path = tmp_path / name
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)
    script = tmp_path / "train.sbatch"
    script.write_text(text.replace("set -euo pipefail", "set -euo pipefail\nexport BATCH=$$"))
    env = {
        "PATH": f"{tmp_path}:{os.environ['PATH']}", "HOME": str(tmp_path), "LOG": str(tmp_path / "log"),
        "SLURM_JOB_ID": "7", "SLURM_JOB_NODELIST": "node1", "SLURM_JOB_NUM_NODES": "1", "TMPDIR": str(tmp_path),
    }  # fmt: skip
    done = subprocess.run(["bash", str(script), "train.seed=5"], env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 143, done.stderr
    log = (tmp_path / "log").read_text()
    assert "python -m jobs train mine.yaml --address auto train.seed=5" in log
    assert "checkpoint" in log and "scontrol requeue 7" in log
    assert not list(tmp_path.glob(".basereward-token-*"))


def test_the_sample_is_what_the_reader_reads(tmp_path: Path) -> None:
    read = read_outputs(write_outputs(tmp_path / "outputs.json"))
    assert {one.name for one in read.worker_groups} == set(outputs()["worker_groups"])
    assert read.head.price_per_hour == 0.384


def test_supervise_starts_again_what_failed_and_ends_with_what_ended(tmp_path: Path) -> None:
    count = tmp_path / "count"
    command = f'echo x >>{count}; [ "$(wc -l <{count})" -ge 3 ]'
    script = (ROOT / "cluster" / "supervise.sh").read_text().replace("sleep 3", "sleep 0.1")
    (tmp_path / "supervise.sh").write_text(script)
    arguments = ["sh", str(tmp_path / "supervise.sh"), str(tmp_path / "node"), "sh", "-c", command]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True)
    assert "supervising" in done.stdout
    for _ in lines_of(tmp_path / "node" / "supervisor.log", 3):
        pass
    assert count.read_text().count("x") == 3


def lines_of(path: Path, wanted: int) -> Iterator[str]:
    """Waits until the file has so many lines."""
    import time

    deadline_s = time.monotonic() + 30
    while not path.exists() or path.read_text().count("\n") < wanted:
        assert time.monotonic() < deadline_s, path.read_text() if path.exists() else "no file"
        time.sleep(0.05)
    yield from path.read_text().splitlines()
