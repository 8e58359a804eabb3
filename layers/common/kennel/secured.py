"""What a stack's own key and its private network add to the requests that its runs and batches make.

The state machines merge these into their arguments; without the options each is empty.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from kennel.settings import Secured

# Instances with a disk of their own, which their hardware encrypts: SageMaker refuses a key for it.
_OWN_DISK = re.compile(
    r"ml\.([a-z]+\d+[a-z]*d[a-z]*|g4dn|g4ad|g5|g6e?|gr6|p4de?|p5[a-z]*|p6-?[a-z0-9]*|trn\d[a-z]*|i\d[a-z]*)\."
)

Arguments = dict[str, Any]


def problems(options: Secured, asked: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What of a run's input cannot be had in a private network, each beginning with its field's name."""
    if not options.is_private:
        return []
    found = []
    if asked["train"]["mode"] == "ec2":
        found.append(
            "train.mode: ec2 installs packages from the internet, and this stack's network is private; single and "
            "multi train in it"
        )
    if asked["endpoint"]["serving"] == "serverless":
        found.append("endpoint.serving: serverless endpoints cannot stand in a private network; realtime ones can")
    return found


def of_run(options: Secured, instance: str, endpoint: Mapping[str, Any], code: Mapping[str, str]) -> Arguments:
    """Additions by where they belong: `job` (every training job and trial), its `output` and `volume`, `channels`,
    `disk` (EC2), `model`, `endpoint_config` and `package`.

    `instance` is the jobs' type, `code` the plan's. Jobs in a private network are isolated as well: their containers
    have no network at all, so the code comes as a channel, named by its hash.
    """
    network = _network(options)
    key = _key(options, "KmsKeyId")
    has_disk = endpoint["serving"] == "realtime" and not _OWN_DISK.match(endpoint["instance_type"])
    return {
        **of_batch(options, instance),
        "job": {**network, "EnableNetworkIsolation": True} if network else {},
        "channels": [_channel(code)] if network else [],
        "disk": key,
        "model": network,
        "endpoint_config": key if has_disk else {},
        "package": {"SecurityConfig": key} if key else {},
    }


def of_batch(options: Secured, instance: str) -> Arguments:
    """The same for a transform job: its `output` and `volume`. Its network is its model's."""
    return {
        "output": _key(options, "KmsKeyId"),
        "volume": {} if _OWN_DISK.match(instance) else _key(options, "VolumeKmsKeyId"),
    }


def submit_directory(options: Secured, code: Mapping[str, str]) -> str:
    """Where the training toolkit finds the code: in S3, or where there is no network in the channel of `of_run`."""
    if not options.is_private:
        return code["uri"]
    return f"/opt/ml/input/data/{code['sha256']}/{code['uri'].rpartition('/')[2]}"


def _key(options: Secured, argument: str) -> Arguments:
    return {argument: options.kms_key} if options.kms_key else {}


def _network(options: Secured) -> Arguments:
    if not options.is_private:
        return {}
    return {"VpcConfig": {"Subnets": list(options.subnets), "SecurityGroupIds": list(options.security_groups)}}


def _channel(code: Mapping[str, str]) -> Arguments:
    source = {"S3DataType": "S3Prefix", "S3Uri": code["uri"], "S3DataDistributionType": "FullyReplicated"}
    return {"ChannelName": code["sha256"], "InputMode": "File", "DataSource": {"S3DataSource": source}}
