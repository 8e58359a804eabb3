"""A deployed stack as its user sees it: addresses, names and the API key, read from CloudFormation.

Works on AWS and on the embedded AWS alike: boto3 reads AWS_ENDPOINT_URL by itself.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.exceptions import BotoCoreError, ClientError


class StackError(Exception):
    """The stack is missing or is not what the tools expect; the message says what to do."""


@dataclass(frozen=True)
class Stack:
    """Everything needed to use a deployed stack. ``endpoint_url`` is None on AWS."""

    name: str
    region: str
    endpoint_url: str | None
    api_url: str
    api_key: str
    data_bucket: str
    artifact_bucket: str
    endpoint_name: str
    state_machines: dict[str, str]

    def save(self, path: Path) -> None:
        """Write the stack as JSON, readable by its owner only: it holds the API key."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_text(json.dumps(asdict(self), indent=2) + "\n")

    @classmethod
    def load(cls, path: Path) -> Stack:
        """Read what ``save`` wrote."""
        try:
            return cls(**json.loads(path.read_text()))
        except FileNotFoundError:
            raise StackError(f"{path} is missing: no local stack is up (start one with 'make up')") from None


def describe_stack(name: str) -> Stack:
    """Read a stack's outputs and its API key from the account that boto3 is set up for.

    Raises StackError when the stack does not exist or lacks an output.
    """
    session = boto3.Session()
    endpoint_url = os.environ.get("AWS_ENDPOINT_URL")
    try:
        found = session.client("cloudformation").describe_stacks(StackName=name)["Stacks"][0]
    except ClientError as error:
        raise StackError(f"no stack {name!r}: deploy it first ({error})") from error
    except BotoCoreError as error:  # no region, no credentials, no way to reach AWS
        raise StackError(f"AWS cannot be asked about stack {name!r}: {error}") from error
    outputs = {output["OutputKey"]: output["OutputValue"] for output in found.get("Outputs", [])}
    try:
        key_id = outputs.get("ApiKeyId")
        return Stack(
            name=name,
            region=session.region_name,
            endpoint_url=endpoint_url,
            api_url=_reachable(outputs["ApiUrl"], endpoint_url),
            api_key=_api_key(session, key_id) if key_id else "",
            data_bucket=outputs["DataBucket"],
            artifact_bucket=outputs["ArtifactBucket"],
            endpoint_name=outputs["EndpointName"],
            state_machines={name: outputs[f"{name.title()}Arn"] for name in ("pipeline", "batch", "teardown", "sweep")},
        )
    except KeyError as missing:
        raise StackError(f"stack {name!r} has no output {missing}: was it deployed from this template?") from missing


def _api_key(session: Any, key_id: str) -> str:
    return str(session.client("apigateway").get_api_key(apiKey=key_id, includeValue=True)["value"])


def _reachable(api_url: str, endpoint_url: str | None) -> str:
    """The embedded AWS serves an API under its own address: https://ID.execute-api.… -> endpoint/restapis/ID/…."""
    if endpoint_url is None:
        return api_url.rstrip("/")
    parts = urlsplit(api_url)
    api_id = (parts.hostname or "").split(".")[0]
    stage = parts.path.strip("/")
    return f"{endpoint_url}/restapis/{api_id}/{stage}/_user_request_"


def local_environment(endpoint_url: str, region: str, base: Mapping[str, str]) -> dict[str, str]:
    """The environment that points any AWS client at the embedded AWS and keeps a person's own profile out of it."""
    inherited = {key: value for key, value in base.items() if not key.startswith("AWS_")}
    return inherited | {
        "AWS_ENDPOINT_URL": endpoint_url,
        "AWS_DEFAULT_REGION": region,
        "AWS_REGION": region,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",  # nosec B105 - the embedded AWS takes any
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "SAM_CLI_TELEMETRY": "0",
    }
