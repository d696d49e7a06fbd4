"""A stand-in for `aws ssm start-session` with its plugin: a tunnel over the test's own network.

`python session_manager.py REAL_AWS ssm start-session --target i-1 --document-name ... --parameters ...`. The real `aws`
checks the words first, and the local AWS API says where the instance is; only the relay is not AWS's.
"""

import argparse
import json
import socket
import subprocess
import sys
import threading
from typing import Any

SSH, FORWARD = "AWS-StartSSHSession", "AWS-StartPortForwardingSessionToRemoteHost"


def main(aws: str, *words: str) -> None:
    parser = argparse.ArgumentParser()
    for option in ("region", "target", "document-name", "parameters"):
        parser.add_argument(f"--{option}", required=True)
    told = parser.parse_args(words[2:])
    address = _address(told.target, told.region)
    parameters = dict(one.split("=", 1) for one in told.parameters.split(","))
    if told.document_name == SSH:
        assert parameters.keys() == {"portNumber"}, parameters
        with socket.create_connection((address, int(parameters["portNumber"])), timeout=10) as there:
            there.settimeout(None)
            _relay_standard_streams(there)
        return
    assert told.document_name == FORWARD and parameters.keys() == {"host", "portNumber", "localPortNumber"}, told
    skeleton = [aws, *words, "--generate-cli-skeleton", "output"]
    subprocess.run(skeleton, check=True, stdout=subprocess.DEVNULL)
    listener = socket.create_server(("127.0.0.1", int(parameters["localPortNumber"])))
    print("Waiting for connections...", flush=True)
    while True:
        here, _ = listener.accept()
        there = socket.create_connection((parameters["host"], int(parameters["portNumber"])), timeout=10)
        there.settimeout(None)
        for one, other in ((here, there), (there, here)):
            threading.Thread(target=_pump, args=(one, other), daemon=True).start()


def _address(instance: str, region: str) -> str:
    """Of an instance that runs; the plugin knows no other."""
    from botocore.session import Session

    ec2 = Session().create_client("ec2", region_name=region)
    [group] = ec2.describe_instances(InstanceIds=[instance])["Reservations"]
    [found] = group["Instances"]
    assert found["State"]["Name"] == "running", json.dumps(found["State"])
    return str(found["PrivateIpAddress"])


def _pump(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        for one in (source, target):  # one end is gone: so is the other
            one.close()


def _relay_standard_streams(there: socket.socket) -> None:
    def upload() -> None:
        while data := sys.stdin.buffer.raw.read(65536):  # type: ignore[attr-defined]
            there.sendall(data)
        there.shutdown(socket.SHUT_WR)

    threading.Thread(target=upload, daemon=True).start()
    output: Any = sys.stdout.buffer
    while data := there.recv(65536):
        output.write(data)
        output.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
