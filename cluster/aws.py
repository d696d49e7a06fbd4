"""Asking AWS, by whatever credentials this machine has."""

from typing import Any

from cluster.errors import Refused

__all__ = ["Account"]

_REFUSALS = {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "403"}


class Account:
    """AWS's answers, of which one that is not there is None."""

    def __init__(self, region: str) -> None:
        from botocore.session import Session

        self._session, self._region = Session(), region

    def why_not(self, account_id: str) -> str | None:
        """Why AWS does not take this machine for one of that account; None: it does."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            found = str(self._client("sts").get_caller_identity()["Account"])
        except (BotoCoreError, ClientError) as error:
            return f"AWS does not know this machine: {error}"
        return None if found == account_id else f"they are of account {found}, the cluster is in {account_id}"

    def ask(self, service: str, call: str, **arguments: object) -> Any:
        """The answer; None where what was asked for is not there.

        Raises:
            Refused: this role may not ask, or AWS can't be reached.
        """
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            return getattr(self._client(service), call)(**arguments)
        except ClientError as error:
            code = str(error.response["Error"]["Code"])
            if code in _REFUSALS:
                raise Refused(
                    f"this role may not call {service}:{call}: ask as the one that applied Terraform"
                ) from error
            if "NotFound" in code or code in {"404", "NoSuchBucket", "NoSuchResourceException"}:
                return None
            raise Refused(f"{service}:{call}: {error}") from error
        except BotoCoreError as error:
            raise Refused(f"{service}:{call}: {error}") from error

    def _client(self, service: str) -> Any:
        return self._session.create_client(service, region_name=self._region)
