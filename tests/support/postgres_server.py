"""A real PostgreSQL for one test session, on this machine's loopback only, with a database for MLflow.

    from postgres_server import postgres_server   # a fixture: the address as SQLAlchemy takes it

A test that asks for it is skipped where there is no PostgreSQL: `tests/services/install.sh` installs it. It refuses to
run as root, so root lends it to the user `postgres` of the package.
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from s3_server import free_ports

USER, PASSWORD, DATABASE = "mlflow", "database-secret", "mlflow"


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """``postgresql+psycopg2://...`` of an empty database. The driver is named: SQLAlchemy's own choice is another."""
    pytest.importorskip("psycopg2", reason="no driver for PostgreSQL: pip install psycopg2-binary")
    programs = postgres_programs()
    if programs is None:
        pytest.skip("no PostgreSQL here: tests/services/install.sh installs it on Debian, as root")
    with running(programs) as address:
        yield address


def postgres_programs() -> Path | None:
    """The folder with `initdb`, `pg_ctl` and `createdb`."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if found:
        return found[-1].parent
    linked = shutil.which("initdb")
    return None if linked is None else Path(linked).resolve().parent


@contextmanager
def running(programs: Path, address: str = "127.0.0.1") -> Iterator[str]:
    """A server at `address` alone, with its data in a folder of its own, which goes with it."""
    user = "postgres" if os.geteuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="basereward-postgres-"))  # the user has no way into pytest's own folders
    [port] = free_ports(1)

    def call(program: str, *arguments: str) -> None:
        # Into a file: the server inherits a pipe, which would never end.
        with open(folder / "log.txt", "ab") as log:
            done = subprocess.run(
                [programs / program, *arguments], stdout=log, stderr=log, cwd=folder, user=user,
                env={"PATH": os.environ["PATH"], "PGPASSWORD": PASSWORD, "LC_ALL": "C"}, timeout=60, check=False,
            )  # fmt: skip
        assert done.returncode == 0, (folder / "log.txt").read_text()

    try:
        (folder / "password").write_text(PASSWORD)
        for path in (folder, folder / "password"):
            if user is not None:
                shutil.chown(path, user)
        call("initdb", "-D", "data", "-U", USER, "--auth=scram-sha-256", "--pwfile=password", "-E", "UTF8", "--no-sync")
        with open(folder / "data" / "pg_hba.conf", "a") as rules:
            rules.write("host all all samenet scram-sha-256\n")
        options = f"-c listen_addresses={address} -c port={port} -c unix_socket_directories= -c fsync=off"
        call("pg_ctl", "-D", "data", "-w", "-l", "server.txt", "-o", options, "start")
        try:
            call("createdb", "-h", address, "-p", str(port), "-U", USER, DATABASE)
            yield f"postgresql+psycopg2://{USER}:{PASSWORD}@{address}:{port}/{DATABASE}"
        finally:
            call("pg_ctl", "-D", "data", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder)
