"""What the image of the MLflow server starts: its addresses and rules, and once for real on PostgreSQL."""

import configparser
import importlib.util
import subprocess
from pathlib import Path
from types import ModuleType

import pytest
from mlflow_image import COMMAND, IMAGE, image_server
from postgres_server import postgres_server  # noqa: F401
from sqlalchemy.engine import make_url
from terraform_tools import ROOT

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


@pytest.mark.drill
def test_the_server_asks_who_is_there(postgres_server: str, tmp_path: Path) -> None:  # noqa: F811
    """On a real PostgreSQL: nobody without a password, the health check with it, and not with the one of last week."""
    with image_server(ENVIRONMENT, postgres_server, tmp_path) as server:
        listing = f"{server.url}/api/2.0/mlflow/experiments/search?max_results=1"
        assert server.answer(listing) == 401
        assert server.answer(listing, "admin:100%-administrator", host="somebody-elses.example.com") == 403
        assert server.answer(listing, "admin:password1234") == 401
        assert server.answer(listing, "admin:100%-administrator") == 200
        check = [*COMMAND, "check"]
        assert subprocess.run(check, env=server.environment, check=False).returncode == 0
        stale = {**server.environment, "DB_PASSWORD": "of last week"}
        refused = subprocess.run(check, env=stale, capture_output=True, text=True, check=False)
        assert refused.returncode != 0 and "password authentication failed" in refused.stderr
        assert [path for path in tmp_path.glob("*.ini") if path.stat().st_mode & 0o077] == []
