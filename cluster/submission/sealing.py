"""Variables of a job's environment, sealed with the cluster's token, so that whoever shows them shows no value.

Ray 2.60 shows a job's ``env_vars`` in plain text: to every client of the Jobs and state APIs that is no browser,
in `ray job list`, in its log of runtime environments. So secrets do not go there. What goes there is one variable,
`SEALED_ENV`, that only a holder of the token can open: the cluster's own nodes, and those who may run any code on it.

    seal   HKDF-SHA256(token, random salt) -> Fernet (AES-128-CBC with HMAC-SHA256) -> "salt.ciphertext"
    open   in the driver (`cluster.submission.job_entry`) and in each worker of the job (`open_here`, Ray's setup hook)

A recorded job can be opened by whoever learns the token later: after a leak, the secrets are changed with the token.
"""

import json
import os
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from collections.abc import Mapping

from cluster.auth import Token, find_token
from cluster.errors import Refused

__all__ = ["OPEN_HERE", "SEALED_ENV", "open_here", "open_sealed", "seal"]

SEALED_ENV = "BASEREWARD_SEALED_ENV"
OPEN_HERE = "cluster.submission.sealing.open_here"
_PURPOSE = b"basereward environment of a job, 1"


def seal(values: Mapping[str, str], token: Token) -> str:
    """`values` as text that says nothing without `token`."""
    from cryptography.fernet import Fernet

    salt = os.urandom(16)
    sealed = Fernet(_key(token, salt)).encrypt(json.dumps(dict(values)).encode())
    return f"{urlsafe_b64encode(salt).decode()}.{sealed.decode()}"


def open_sealed(text: str, token: Token) -> dict[str, str]:
    """What `seal` was given.

    Raises:
        Refused: it was sealed with another token, or is damaged.
    """
    from cryptography.fernet import Fernet, InvalidToken

    salt, _, sealed = text.partition(".")
    try:
        opened = Fernet(_key(token, urlsafe_b64decode(salt))).decrypt(sealed.encode())
    except (InvalidToken, Base64Error) as error:
        message = f"the job's variables were sealed with another token than {token.place} holds on this node"
        raise Refused(f"{message}: submit with the cluster's token, and give all its nodes the same one") from error
    return {str(name): str(value) for name, value in json.loads(opened).items()}


def open_here() -> None:
    """Put a job's sealed variables into this process's environment; does nothing where it has none.

    Raises:
        Refused: the node has no token, or another one.
    """
    text = os.environ.get(SEALED_ENV)
    if not text:
        return
    token = find_token()
    if token is None:
        raise Refused(f"this node has no token, so it can't open {SEALED_ENV}: start it with RAY_AUTH_TOKEN_PATH set")
    os.environ.update(open_sealed(text, token))


def _key(token: Token, salt: bytes) -> bytes:
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    derived = HKDF(algorithm=SHA256(), length=32, salt=salt, info=_PURPOSE).derive(token.text.encode())
    return urlsafe_b64encode(derived)
