"""Start the MLflow server of this image, or check it: `serve.py`, `serve.py check`.

Settings come as variables, secrets too (the container service puts them in from Secrets Manager):
DB_HOST, DB_NAME, DB_USER, DB_PASSWORD, DB_SSL (verify-full), DB_CA (the bundle of the image), ADMIN_NAME,
ADMIN_PASSWORD, SESSION_KEY, ARTIFACTS (s3://...), ALLOWED_HOSTS, WORKERS (2), PORT (5000).
"""

import os
import sys
import tempfile
import urllib.request
from collections.abc import Mapping
from urllib.parse import quote, urlencode

CA = "/srv/rds-global-bundle.pem"


def database_address(env: Mapping[str, str]) -> str:
    """The database as SQLAlchemy names it; a password may have any character.

    The server is checked by its certificate.
    """
    user, password = quote(env["DB_USER"], safe=""), quote(env["DB_PASSWORD"], safe="")
    mode = env.get("DB_SSL", "verify-full")
    options = {"sslmode": mode} | ({"sslrootcert": env.get("DB_CA", CA)} if mode.startswith("verify") else {})
    place = f"{env['DB_HOST']}:{env.get('DB_PORT', '5432')}/{env['DB_NAME']}"
    return f"postgresql+psycopg2://{user}:{password}@{place}?{urlencode(options)}"


def access_rules(env: Mapping[str, str]) -> str:
    """MLflow's file of access rules. Nobody sees an experiment that is not theirs, unless they are given it."""
    settings = {
        "default_permission": "NO_PERMISSIONS",
        "database_uri": database_address(env),
        "admin_username": env["ADMIN_NAME"],
        "admin_password": env["ADMIN_PASSWORD"],
        "authorization_function": "mlflow.server.auth:authenticate_request_basic_auth",
    }
    # The file is read with interpolation: one "%" is written as two.
    return "[mlflow]\n" + "".join(f"{name} = {value.replace('%', '%%')}\n" for name, value in settings.items())


def command(env: Mapping[str, str]) -> list[str]:
    """The server's command line: no secret, since whoever lists processes reads it."""
    return [
        "mlflow", "server", "--app-name", "basic-auth", "--host", env.get("HOST", "0.0.0.0"),  # noqa: S104 - a container
        "--port", env.get("PORT", "5000"), "--workers", env.get("WORKERS", "2"),
        "--artifacts-destination", env["ARTIFACTS"], "--allowed-hosts", env["ALLOWED_HOSTS"],
    ]  # fmt: skip


def serve(env: Mapping[str, str]) -> None:
    """Become the server."""
    handle, rules = tempfile.mkstemp(suffix=".ini")  # readable by this user only
    os.write(handle, access_rules(env).encode())
    os.close(handle)
    passed = {name: value for name, value in env.items() if not name.startswith(("DB_", "ADMIN_", "SESSION_"))}
    passed |= {
        "MLFLOW_BACKEND_STORE_URI": database_address(env),
        "MLFLOW_AUTH_CONFIG_PATH": rules,
        "MLFLOW_FLASK_SERVER_SECRET_KEY": env["SESSION_KEY"],
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # no processes for judges of language models
    }
    line = command(env)
    os.execvpe(line[0], line, passed)  # noqa: S606 - no shell is wanted


def check(env: Mapping[str, str]) -> None:
    """Fail unless the server answers and the password of its start still opens the database.

    AWS changes the password every week. Open connections go on, new ones fail: then this fails, and the task is
    replaced by one that starts with the new password.
    """
    import psycopg2

    urllib.request.urlopen(f"http://127.0.0.1:{env.get('PORT', '5000')}/health", timeout=10).close()
    psycopg2.connect(database_address(env).replace("+psycopg2", "", 1), connect_timeout=5).close()


if __name__ == "__main__":
    (check if sys.argv[1:] == ["check"] else serve)(os.environ)
