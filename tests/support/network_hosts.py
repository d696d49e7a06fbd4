"""Hosts on one machine: network namespaces with addresses of their own on a switch, each with its own Ray node.

A host can lose its link and all its processes at once, as a machine does. Needs root and `ip`.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import child_process
import psutil
import pytest
from workplace import ROOT

PATIENCE_S = 120
NETWORK = "10.77.0"
HEAD_PORT = 6379


def why_not() -> str | None:
    """Why there can be no hosts here; None where there can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if shutil.which("ip") is None:
        return "there is no `ip` command here"
    probe = subprocess.run(["ip", "netns", "add", f"bw{os.getpid()}x"], capture_output=True, text=True)
    if probe.returncode == 0:
        subprocess.run(["ip", "netns", "del", f"bw{os.getpid()}x"], check=True)
        return None
    return f"no network namespaces here: {probe.stderr.strip()}"


class Host:
    """One namespace; `ray` is its node's process once it has one."""

    def __init__(self, name: str, address: str, link: str) -> None:
        self.name = name
        self.address = address
        self.link = link
        self.ray: subprocess.Popen[bytes] | None = None

    def command(self, *command: str) -> list[str]:
        return ["ip", "netns", "exec", self.name, *command]

    def processes(self) -> list[psutil.Process]:
        listed = subprocess.run(["ip", "netns", "pids", self.name], capture_output=True, text=True, check=False).stdout
        return [psutil.Process(int(pid)) for pid in listed.split() if psutil.pid_exists(int(pid))]

    def kill(self) -> None:
        """SIGKILL for everything that runs on it."""
        processes = self.processes()
        for process in processes:
            try:
                process.send_signal(signal.SIGKILL)
            except psutil.NoSuchProcess:
                continue  # gone with its parent
        psutil.wait_procs(processes, timeout=20)
        if self.ray is not None:
            self.ray.wait(timeout=20)


class NetworkHosts:
    """A switch, and hosts on it that start one after the other: Ray gives a node 30 s to register."""

    def __init__(self, folder: str, env: Mapping[str, str] | None = None) -> None:
        self._folder = Path(folder)
        self._prefix = f"bw{os.getpid() % 100000}"
        self._env = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "RAY_USAGE_STATS_ENABLED": "0",
            "GLOO_SOCKET_IFNAME": "eth0",
            # A lost node is noticed within half a minute, and a node on a busy machine has time to answer.
            "RAY_health_check_period_ms": "2000",
            "RAY_health_check_timeout_ms": "8000",
            "RAY_health_check_failure_threshold": "3",
            **(env or {}),
        }
        self.hosts: list[Host] = []
        self._switch = f"{self._prefix}s"
        _ip("netns", "add", self._switch)
        _ip("-n", self._switch, "link", "add", "br0", "type", "bridge")
        _ip("-n", self._switch, "link", "set", "br0", "up")

    @property
    def address(self) -> str:
        """Of the Ray cluster, as `cluster.address` wants it."""
        return f"{self.hosts[0].address}:{HEAD_PORT}"

    def add(self, address: str | None = None) -> Host:
        """Another host, without a Ray node yet."""
        number = len(self.hosts)
        host = Host(f"{self._prefix}h{number}", address or f"{NETWORK}.{10 + number}", f"p{number}")
        # Names are looked up by Ray and gloo: in these files, and nowhere else.
        files = Path("/etc/netns", host.name)
        files.mkdir(parents=True)
        (files / "hosts").write_text(f"127.0.0.1 localhost\n{host.address} {os.uname().nodename} {host.name}\n")
        (files / "resolv.conf").write_text("options timeout:1 attempts:1\n")
        _ip("netns", "add", host.name)
        self.hosts.append(host)
        _ip("-n", host.name, "link", "set", "lo", "up")
        _ip("-n", host.name, "link", "add", "eth0", "type", "veth", "peer", "name", host.link, "netns", self._switch)
        _ip("-n", self._switch, "link", "set", host.link, "master", "br0", "up")
        _ip("-n", host.name, "addr", "add", f"{host.address}/16", "dev", "eth0")
        _ip("-n", host.name, "link", "set", "eth0", "up")
        _ip("-n", host.name, "route", "add", "default", "via", host.address)  # a host's own address is found by a route
        return host

    def start_head(self, dashboard: bool = False) -> Host:
        """The first host's Ray node, which takes no workers."""
        host = self.hosts[0] if self.hosts else self.add()
        shown = [f"--dashboard-host={host.address}"] if dashboard else ["--include-dashboard=false"]
        self._start(host, "--head", f"--port={HEAD_PORT}", "--num-cpus=0", *shown)
        return host

    def workers(self, count: int) -> list[Host]:
        """So many more hosts with a Ray node each."""
        return [self.start_worker() for _ in range(count)]

    def start_worker(self, cpus: int = 1) -> Host:
        """A new host with a Ray node of so many CPUs."""
        host = self.add()
        self._start(host, f"--address={self.address}", f"--num-cpus={cpus}")
        return host

    def lose(self, host: Host) -> None:
        """The machine is gone: its link is cut and its processes are."""
        self.cut(host)
        host.kill()

    def cut(self, host: Host) -> None:
        """Nothing reaches the host any more, and nothing leaves it."""
        _ip("-n", self._switch, "link", "set", host.link, "down")

    def mend(self, host: Host) -> None:
        """The link is back."""
        _ip("-n", self._switch, "link", "set", host.link, "up")

    def addresses(self, host: Host) -> set[str]:
        """Those that others could reach it by, and its loopback."""
        shown = _ip("-n", host.name, "-4", "-o", "addr")
        return set(re.findall(r"inet ([\d.]+)/", shown))

    def listeners(self, host: Host) -> list[tuple[str, str]]:
        """Address and program of each TCP port that is open on it; ``*``: any address."""
        command = host.command("ss", "-H", "-ltnp")
        shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        found = re.findall(r"^\S+\s+\S+\s+\S+\s+(\S+):\d+\s.*?users:\(\(\"(\w+)", shown, re.MULTILINE)
        return [(at.strip("[]").removeprefix("::ffff:"), program) for at, program in found]

    def start(self, host: Host, command: list[str], env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        """A command on a host, with more environment where given."""
        environment = {**self._env, **(env or {})}
        return child_process.start(host.command(*command), cwd=self._folder, env=environment, stdin=subprocess.PIPE)

    def close(self) -> None:
        for host in reversed(self.hosts):
            host.kill()
            _ip("netns", "del", host.name)
            shutil.rmtree(f"/etc/netns/{host.name}")
        _ip("netns", "del", self._switch)

    def _start(self, host: Host, *arguments: str) -> None:
        log = self._folder / f"{host.name}.txt"
        ray = str(Path(sys.executable).with_name("ray"))
        command = [ray, "start", "--block", f"--node-ip-address={host.address}", "--object-store-memory=100000000"]
        temp = f"--temp-dir={self._folder}/{host.link}"
        # Where no mode is given, Ray's head asks for the token that lies in the home of whoever runs the tests.
        env = {"RAY_AUTH_MODE": "disabled", **self._env}
        with open(log, "wb") as file:
            host.ray = subprocess.Popen(host.command(*command, temp, *arguments), env=env, stdout=file, stderr=file)
        deadline_s = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline_s and host.ray.poll() is None:
            printed = re.sub(r"\x1b\[\d+m", "", log.read_text())
            if "To terminate the Ray runtime" in printed or "--block" in printed:
                return
            time.sleep(0.1)
        raise AssertionError(f"{host.name} did not start:\n{log.read_text()}")


@pytest.fixture
def hosts() -> Iterator[NetworkHosts]:
    """A Ray cluster of a head that takes no workers; tests ask for hosts of one CPU each."""
    if reason := why_not():
        pytest.skip(reason)
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder:  # sockets need short paths
        cluster = NetworkHosts(folder)
        try:
            cluster.start_head()
            yield cluster
        finally:
            cluster.close()


def _ip(*arguments: str) -> str:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"ip {' '.join(arguments)}: {done.stderr}"
    return done.stdout
