"""A node fetches the cluster's token: ``python -m cluster.nodes.token SECRET_ARN REGION`` writes ``~/.ray/auth_token``.

The node's own role may read that one secret, so that the token stands in no file that describes the cluster.
"""

import os
import sys
from pathlib import Path

__all__ = ["main"]


def main(secret_arn: str, region: str) -> None:
    """Write the secret's text with mode 600 to where Ray looks for it."""
    from botocore.session import get_session

    answer = get_session().create_client("secretsmanager", region_name=region).get_secret_value(SecretId=secret_arn)
    path = Path.home() / ".ray" / "auth_token"
    path.parent.mkdir(mode=0o700, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(answer["SecretString"].strip())
    path.chmod(0o600)
    print(f"wrote {path}")


if __name__ == "__main__":
    main(*sys.argv[1:])
