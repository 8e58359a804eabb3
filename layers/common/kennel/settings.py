"""The functions' environment, read on first call so that importing needs no environment."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from functools import cache
from typing import NamedTuple

from kennel.errors import SettingsError


class Secured(NamedTuple):
    """A stack's options: the key's ARN, or empty; the private network's subnets and security groups, or none."""

    kms_key: str = ""
    subnets: tuple[str, ...] = ()
    security_groups: tuple[str, ...] = ()

    @property
    def is_private(self) -> bool:
        """Whether the stack has no way to the internet."""
        return bool(self.subnets)


class ClassifySettings(NamedTuple):
    """What `classify` needs: its endpoint, where it may read from, and the limits on what it reads."""

    endpoint_name: str
    own_buckets: tuple[str, ...]
    max_image_bytes: int
    url_timeout_seconds: float
    has_internet: bool


class SiteSettings(NamedTuple):
    """What `site` needs: the endpoint it tells about, the bucket of its reports, and how callers prove who they are."""

    endpoint_name: str
    artifact_bucket: str
    api_auth: str


class ValidateRunSettings(NamedTuple):
    """What `validate_run` needs: the stack's own names, its code bundle, a run's defaults, and its options."""

    stack_name: str
    data_bucket: str
    artifact_bucket: str
    endpoint_name: str
    code_uri: str
    code_sha256: str
    serving_repository_uri: str
    region: str
    defaults: Mapping[str, object]
    secured: Secured = Secured()

    @property
    def code(self) -> dict[str, str]:
        """The bundle, as a plan names it."""
        return {"uri": self.code_uri, "sha256": self.code_sha256}


class PlanBatchSettings(NamedTuple):
    """What `plan_batch` needs: the stack's own names, its parameters as a batch's defaults, and its options."""

    stack_name: str
    data_bucket: str
    artifact_bucket: str
    endpoint_name: str
    defaults: Mapping[str, object]
    secured: Secured = Secured()


class CollectBatchSettings(NamedTuple):
    """What `collect_batch` needs: the bucket that results lie in."""

    artifact_bucket: str


class WatchDriftSettings(NamedTuple):
    """What `watch_drift` needs: the endpoint, the log group of its instances, the bucket of the baselines."""

    endpoint_name: str
    log_group: str
    artifact_bucket: str


@cache
def classify_settings() -> ClassifySettings:
    """The settings of `classify`; raises SettingsError naming the first variable that is missing or malformed."""
    return ClassifySettings(
        endpoint_name=_text("ENDPOINT_NAME"),
        own_buckets=_names(_text("OWN_BUCKETS")),
        max_image_bytes=int(_number("MAX_IMAGE_BYTES", 4_500_000)),
        url_timeout_seconds=_number("URL_TIMEOUT_SECONDS", 5.0),
        has_internet=_optional("HAS_INTERNET") != "false",
    )


@cache
def site_settings() -> SiteSettings:
    """The settings of `site`; raises SettingsError naming the first variable that is missing."""
    return SiteSettings(
        endpoint_name=_text("ENDPOINT_NAME"),
        artifact_bucket=_text("ARTIFACT_BUCKET"),
        api_auth=_text("API_AUTH"),
    )


@cache
def validate_run_settings() -> ValidateRunSettings:
    """The settings of `validate_run`; raises SettingsError naming the first variable that is missing or malformed."""
    return ValidateRunSettings(
        stack_name=_text("STACK_NAME"),
        data_bucket=_text("DATA_BUCKET"),
        artifact_bucket=_text("ARTIFACT_BUCKET"),
        endpoint_name=_text("ENDPOINT_NAME"),
        code_uri=_text("CODE_URI"),
        code_sha256=_text("CODE_SHA256"),
        serving_repository_uri=_text("SERVING_REPOSITORY_URI"),
        region=_text("AWS_REGION"),
        defaults=_json_object("DEFAULTS"),
        secured=Secured(
            _optional("KMS_KEY_ARN"), _names(_optional("SUBNET_IDS")), _names(_optional("SECURITY_GROUP_IDS"))
        ),
    )


@cache
def plan_batch_settings() -> PlanBatchSettings:
    """The settings of `plan_batch`; raises SettingsError naming the first variable that is missing or malformed."""
    return PlanBatchSettings(
        stack_name=_text("STACK_NAME"),
        data_bucket=_text("DATA_BUCKET"),
        artifact_bucket=_text("ARTIFACT_BUCKET"),
        endpoint_name=_text("ENDPOINT_NAME"),
        defaults=_json_object("DEFAULTS"),
        secured=Secured(_optional("KMS_KEY_ARN")),
    )


@cache
def collect_batch_settings() -> CollectBatchSettings:
    """The settings of `collect_batch`; raises SettingsError naming the variable that is missing."""
    return CollectBatchSettings(artifact_bucket=_text("ARTIFACT_BUCKET"))


@cache
def watch_drift_settings() -> WatchDriftSettings:
    """The settings of `watch_drift`; raises SettingsError naming the first variable that is missing."""
    return WatchDriftSettings(
        endpoint_name=_text("ENDPOINT_NAME"),
        log_group=_text("LOG_GROUP"),
        artifact_bucket=_text("ARTIFACT_BUCKET"),
    )


def trace_header() -> str:
    """What Lambda says of the invocation's trace; it is another one each time. Empty outside of Lambda."""
    return os.environ.get("_X_AMZN_TRACE_ID", "")


def kept_ready() -> bool:
    """Whether Lambda started this process ahead of its first request, as provisioned concurrency does."""
    return os.environ.get("AWS_LAMBDA_INITIALIZATION_TYPE") == "provisioned-concurrency"


def _optional(name: str) -> str:
    return os.environ.get(name, "").strip()


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _text(name: str) -> str:
    value = os.environ.get(name, "").strip()
    if not value:
        raise SettingsError(f"environment variable {name} is not set")
    return value


def _number(name: str, default: float) -> float:
    text = os.environ.get(name, "").strip()
    try:
        value = float(text) if text else default
    except ValueError:
        raise SettingsError(f"environment variable {name} is not a number: {text}") from None
    if not 0 < value < float("inf"):
        raise SettingsError(f"environment variable {name} is not a positive number: {text}")
    return value


def _json_object(name: str) -> Mapping[str, object]:
    try:
        value = json.loads(_text(name))
    except ValueError as error:
        raise SettingsError(f"environment variable {name} is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise SettingsError(f"environment variable {name} is not a JSON object")
    return value
