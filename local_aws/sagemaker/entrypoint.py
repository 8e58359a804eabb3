"""Jobs that bring their own command (`ContainerEntrypoint`), as the SageMaker Python SDK's ModelTrainer does.

Such a command names files in /opt/ml, which only root can make on a machine. So it runs in a mount namespace of its
own, where /opt/ml is its host's folder and algo-1, algo-2, ... are this machine: nothing outside sees either. Where the
machine refuses namespaces (many containers do), a job of one instance still runs: its arguments and the SDK's own
driver files, which hard-code /opt/ml, are rewritten to the host's folder. A script that hard-codes /opt/ml is not.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from local_aws.store import Record

OPT_ML = "/opt/ml"
DRIVERS = "sm_drivers"
_TOOLKIT = ("SM_", "MASTER_")
# Making /opt/ml in /opt takes root, and what is there may be needed: a fresh /opt gets all that is in the old, and ml.
_MOUNT = """
set -e
root=$1 kept=$1.opt hosts=$1.hosts
shift
mkdir -p "$kept"
mount --rbind /opt "$kept"
mount -t tmpfs tmpfs /opt
for entry in "$kept"/* "$kept"/.[!.]*; do
  place=/opt/${entry##*/}
  if [ -L "$entry" ]; then cp -P "$entry" "$place"
  elif [ -d "$entry" ]; then mkdir "$place"; mount --rbind "$entry" "$place"
  elif [ -e "$entry" ]; then : > "$place"; mount --bind "$entry" "$place"
  fi
done
mkdir -p /opt/ml
mount --bind "$root" /opt/ml
mount --bind "$hosts" /etc/hosts
exec "$@"
"""
# Root needs no user namespace, and in one it would lose its rights over other users' files.
_NAMESPACES = (["unshare", "--mount"], ["unshare", "--user", "--map-root-user", "--mount"])


class EntrypointError(Exception):
    """The command cannot be run on this machine; the message is the job's FailureReason."""


def own_command(record: Record) -> list[str]:
    """The job's ContainerEntrypoint and ContainerArguments; empty for a job in script mode."""
    specification = record["AlgorithmSpecification"]
    entrypoint: list[str] = specification.get("ContainerEntrypoint") or []
    return [*entrypoint, *specification.get("ContainerArguments", [])] if entrypoint else []


def environment(whole: Mapping[str, str], root: Path, record: Record) -> dict[str, str]:
    """What a container has before any toolkit ran: no SM_*; this Python first on PATH.

    What the job installs with pip goes to a folder of its own (`ROOT.site`), never into the emulator's environment.
    """
    site = f"{root}.site"
    search = f"{Path(sys.executable).parent}{os.pathsep}{whole.get('PATH', os.defpath)}"
    platform = {name: value for name, value in whole.items() if not name.startswith(_TOOLKIT)}
    return {**platform, "PATH": search, "PYTHONPATH": site, "PIP_TARGET": site, **record.get("Environment", {})}


def launch(root: Path, names: tuple[str, ...], record: Record) -> list[str]:
    """The process to run for the host whose folder is `root`, one of `names`. Raises EntrypointError."""
    hosts = Path(f"{root}.hosts")
    hosts.write_text(f"{Path('/etc/hosts').read_text()}\n127.0.0.1 {' '.join(names)}\n")
    for namespace in _NAMESPACES:
        mounted = [*namespace, "/bin/sh", "-c", _MOUNT, "mount", str(root)]
        if _works([*mounted, "test", "-d", f"{OPT_ML}/input/config"]):
            return [*mounted, *own_command(record)]
    if len(names) > 1:
        raise EntrypointError(
            "ClientError: this machine allows no mount namespace (unshare --user --mount), so the local AWS runs a "
            "ContainerEntrypoint on one instance only: set InstanceCount to 1."
        )
    _rewrite_drivers(root)
    # Through a shell, so that a command which is not there ends with 127, as in a container.
    return ["/bin/sh", "-c", 'exec "$@"', "run", *(one.replace(OPT_ML, str(root)) for one in own_command(record))]


def failure(root: Path) -> str:
    """What the container left in output/failure, stripped; empty when there is none."""
    path = root / "output" / "failure"
    return path.read_text(errors="replace").strip() if path.is_file() else ""


def check(specification: Mapping[str, Any]) -> str | None:
    """What is wrong with ContainerEntrypoint and ContainerArguments, for a person; None when nothing is."""
    if specification.get("ContainerArguments") and not specification.get("ContainerEntrypoint"):
        return (
            "ContainerArguments needs ContainerEntrypoint: the local AWS does not pull the image, so it does not know "
            "its entrypoint."
        )
    return None


def _works(command: list[str]) -> bool:
    if shutil.which(command[0]) is None:
        return False
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _rewrite_drivers(root: Path) -> None:
    for path in (root / "input" / "data" / DRIVERS).rglob("*"):
        if path.is_file():
            path.write_bytes(path.read_bytes().replace(OPT_ML.encode(), os.fsencode(root)))
