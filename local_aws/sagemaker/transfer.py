"""What a training job's hosts get from S3 before they start, and what goes to S3 when they have ended."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from local_aws import archives, objects, settings
from local_aws.sagemaker import entrypoint
from local_aws.sagemaker.container import Host, hyperparameters
from local_aws.store import Record

CONTAINER = "/opt/ml/"  # what a job's folder is in a container


class JobError(Exception):
    """The job cannot go on; the message is its FailureReason."""


def download(record: Record, hosts: list[Host], stopped: Callable[[], bool]) -> None:
    """Channels and code for every host; ends early when `stopped`. Raises JobError and objects.ObjectError."""
    for channel in record.get("InputDataConfig", []):
        _download_channel(channel, hosts, stopped)
    if not entrypoint.own_command(record):
        _download_bundle(record, hosts)


def _download_bundle(record: Record, hosts: list[Host]) -> None:
    bundle = str(hyperparameters(record)["sagemaker_submit_directory"])
    for host in hosts:
        archives.unpack(_bundle(bundle, record, host), host.code)
        program = host.code / str(hyperparameters(record)["sagemaker_program"])
        if not program.is_file():
            raise JobError(f"AlgorithmError: {program.name} is not in the code bundle {bundle}")


def _bundle(bundle: str, record: Record, host: Host) -> bytes:
    """The archive of the code: an object in S3, which the container itself reads, or a file of one of its channels."""
    if bundle.startswith(CONTAINER):
        try:
            return (host.root / bundle.removeprefix(CONTAINER)).read_bytes()
        except OSError:
            raise JobError(f"AlgorithmError: there is no {bundle}: no channel of the job brings it") from None
    if record.get("EnableNetworkIsolation"):
        raise JobError(f"AlgorithmError: the container has no network and cannot read its code, {bundle}")
    return objects.read_uri(bundle)


def _download_channel(channel: dict[str, Any], hosts: list[Host], stopped: Callable[[], bool]) -> None:
    source = channel["DataSource"]["S3DataSource"]
    uri = source["S3Uri"]
    bucket, prefix = objects.parse_uri(uri)
    found = [key for key in objects.keys(bucket, prefix) if not key.endswith("/")]
    if not found:
        raise JobError(
            f'ClientError: Data download failed:No S3 objects found under S3 URL "{uri}" given in input data '
            f"source. Please ensure that the bucket exists in the selected region ({settings.REGION}), that "
            "objects exist under that S3 prefix, and that the role has s3:ListBucket permissions on the bucket."
        )
    base = prefix if prefix.endswith("/") or not prefix else prefix.rpartition("/")[0] + "/"
    sharded = source.get("S3DataDistributionType") == "ShardedByS3Key"
    shared = hosts[0].channel(channel["ChannelName"])
    for host in hosts:
        folder = host.channel(channel["ChannelName"])
        if host.rank and not sharded:
            folder.symlink_to(shared)
            continue
        folder.mkdir(parents=True, exist_ok=True)
        for key in found[host.rank :: len(hosts)] if sharded else found:
            if stopped():
                return
            # A prefix without its slash that names a whole folder is that folder: the SDK's own channels are such.
            inside = f"{prefix}/" if key.startswith(f"{prefix}/") else base
            objects.save(bucket, key, folder, key.removeprefix(inside))


def upload(record: Record, hosts: list[Host], folder: Path, required: bool) -> str | None:
    """The model and output folders of all hosts together, under AWS's names. Gives S3ModelArtifacts.

    None when there is no model: only a stopped job (not `required`) may have none. `folder` is for what is made on
    the way.
    """
    base = f"{record['OutputDataConfig']['S3OutputPath'].rstrip('/')}/{record['TrainingJobName']}/output"
    compressed = record["OutputDataConfig"].get("CompressionType", "GZIP") == "GZIP"
    model = None
    for part, archive, prefix in (("model", "model.tar.gz", "model/"), ("output/data", "output.tar.gz", "data/")):
        merged = folder / "upload" / prefix
        for host in hosts:
            shutil.copytree(host.root / part, merged, dirs_exist_ok=True)
        if not any(merged.iterdir()) and not (required and part == "model"):
            continue
        uri = f"{base}/{archive if compressed else prefix}"
        if compressed:
            archives.pack(merged, folder / archive)
            objects.write_uri(uri, (folder / archive).read_bytes())
        else:
            for path in sorted(path for path in merged.rglob("*") if path.is_file()):
                objects.write_uri(uri + path.relative_to(merged).as_posix(), path.read_bytes())
        model = uri if part == "model" else model
    return model
