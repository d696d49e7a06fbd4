"""What the image of the MLflow server starts: its addresses and rules, and once for real on PostgreSQL."""

import base64
import configparser
import importlib.util
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from s3_server import free_ports
from sqlalchemy.engine import make_url
from terraform_tools import ROOT, SOURCE

IMAGE = SOURCE / "modules" / "mlflow" / "image"
PASSWORD = "p%40 s/w:o?r#d&'\"=+"  # a password of RDS may have any of these but / @ " and space
ENVIRONMENT = {
    "DB_HOST": "db.example.com",
    "DB_NAME": "mlflow",
    "DB_USER": "mlflow",
    "DB_PASSWORD": PASSWORD,
    "ADMIN_NAME": "admin",
    "ADMIN_PASSWORD": "100%-administrator",  # MLflow wants 12 characters
    "SESSION_KEY": "session-key",
    "ARTIFACTS": "s3://artifacts/mlflow",
    "ALLOWED_HOSTS": "mlflow.ml.example.com",
}


@pytest.fixture(scope="module")
def serve() -> ModuleType:
    spec = importlib.util.spec_from_file_location("serve", IMAGE / "serve.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_any_password_opens_the_database(serve: ModuleType) -> None:
    url = make_url(serve.database_address(ENVIRONMENT))
    assert (url.username, url.password, url.host, url.port, url.database) == (
        "mlflow", PASSWORD, "db.example.com", 5432, "mlflow",
    )  # fmt: skip
    assert url.query == {"sslmode": "verify-full", "sslrootcert": "/srv/rds-global-bundle.pem"}


def test_rules_survive_their_file_format(serve: ModuleType) -> None:
    """MLflow reads them with interpolation, to which a single "%" is an error."""
    rules = configparser.ConfigParser()
    rules.read_string(serve.access_rules(ENVIRONMENT))
    assert rules["mlflow"]["admin_password"] == "100%-administrator"
    assert rules["mlflow"]["default_permission"] == "NO_PERMISSIONS", "pages of data hold texts and pictures"
    assert make_url(rules["mlflow"]["database_uri"]).password == PASSWORD


def test_no_secret_on_the_command_line(serve: ModuleType) -> None:
    line = " ".join(serve.command(ENVIRONMENT))
    assert "--app-name basic-auth" in line and "--allowed-hosts mlflow.ml.example.com" in line
    assert not any(secret in line for secret in (PASSWORD, "100%-administrator", "session-key"))


def test_the_image_has_the_versions_that_are_tested() -> None:
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    mlflow = next(line for line in pins if line.startswith("mlflow=="))
    assert mlflow in (IMAGE / "requirements.txt").read_text(encoding="utf-8").splitlines()


def answer(url: str, login: str | None = None, host: str = ENVIRONMENT["ALLOWED_HOSTS"]) -> int:
    request = urllib.request.Request(url, headers={"Host": host})
    if login:
        request.add_header("Authorization", f"Basic {base64.b64encode(login.encode()).decode()}")
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


def up(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    for _ in range(900):
        if process.poll() is not None:
            break
        try:
            if answer(f"{url}/health") == 200:
                return
        except OSError:
            time.sleep(0.2)
    raise AssertionError(f"the server did not start: {log.read_text(errors='replace')[-3000:]}")


@pytest.mark.drill
def test_the_server_asks_who_is_there(postgres_server: str, tmp_path: Path) -> None:
    """On a real PostgreSQL: nobody without a password, the health check with it, and not with the one of last week."""
    database, port = make_url(postgres_server), free_ports(1)[0]
    environment: dict[str, Any] = {
        **ENVIRONMENT,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "DB_HOST": database.host,
        "DB_PORT": str(database.port),
        "DB_NAME": database.database,
        "DB_USER": database.username,
        "DB_PASSWORD": database.password,
        "DB_SSL": "disable",
        "ARTIFACTS": str(tmp_path / "artifacts"),
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "WORKERS": "1",
        "HOME": str(tmp_path),
        "TMPDIR": str(tmp_path),
    }
    command, url, log = [sys.executable, str(IMAGE / "serve.py")], f"http://127.0.0.1:{port}", tmp_path / "log.txt"
    with open(log, "wb") as output:
        process = subprocess.Popen(
            command, env=environment, cwd=tmp_path, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        up(process, url, log)
        listing = f"{url}/api/2.0/mlflow/experiments/search?max_results=1"
        assert answer(listing) == 401
        assert answer(listing, "admin:100%-administrator", host="somebody-elses.example.com") == 403
        assert answer(listing, "admin:password1234") == 401
        assert answer(listing, "admin:100%-administrator") == 200
        assert subprocess.run([*command, "check"], env=environment, check=False).returncode == 0
        stale = {**environment, "DB_PASSWORD": "of last week"}
        refused = subprocess.run([*command, "check"], env=stale, capture_output=True, text=True, check=False)
        assert refused.returncode != 0 and "password authentication failed" in refused.stderr
        assert [path for path in tmp_path.glob("*.ini") if path.stat().st_mode & 0o077] == []
    finally:
        if process.poll() is None:
            os.killpg(process.pid, 9)
        process.wait(timeout=20)


@pytest.fixture(scope="session")
def postgres_server() -> Any:
    """The address of an empty database on this machine."""
    servers = pytest.importorskip("postgres_server", reason="no PostgreSQL for tests")
    programs = servers.postgres_programs()
    if programs is None:
        pytest.skip("no PostgreSQL here")
    with servers.running(programs) as address:
        yield address
