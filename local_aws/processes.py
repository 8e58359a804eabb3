"""Processes the local AWS starts, and how they are found and ended again.

Every child carries the state directory in its environment (settings.STATE_MARK), and so do its own children. Looking
for that mark finds orphans of a killed emulator whatever they are (jobs, servers, Lambda workers), and no pid file goes
stale.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
from pathlib import Path

import psutil

from local_aws.settings import ACCOUNT_ID, REGION, STATE_MARK

# What a child may see of this machine's environment: never AWS_*, PYTHONPATH or the emulator's own settings.
_PASSED_ON = (
    "PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "TMPDIR",
    "TZ",
    "LD_LIBRARY_PATH",
    "CUDA_VISIBLE_DEVICES",
    STATE_MARK,
)

BEHIND = 5  # niceness


def passed_on() -> dict[str, str]:
    """What every child sees of this machine's environment."""
    return {name: os.environ[name] for name in _PASSED_ON if name in os.environ}


def child_environment(**extra: str) -> dict[str, str]:
    """The environment of a job or server process: a little of ours, local AWS credentials, and `extra`."""
    return {
        **passed_on(),
        "PYTHONUNBUFFERED": "1",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCOUNT_ID": ACCOUNT_ID,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",  # nosec B105 - the embedded AWS takes any
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{os.environ.get('GATEWAY_PORT', '')}",
        **extra,
    }


def free_port() -> int:
    """A loopback port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def signal_group(pid: int, number: int) -> None:
    """Signals the process group a child started with start_new_session leads; one that is gone is no error."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def behind_servers(pid: int) -> None:
    """Lets the process and all it starts have the processor when nothing that answers requests wants it.

    On AWS what trains and what serves are different machines.
    """
    with contextlib.suppress(ProcessLookupError):
        os.setpriority(os.PRIO_PROCESS, pid, max(BEHIND, os.getpriority(os.PRIO_PROCESS, pid)))


def stop_group(process: subprocess.Popen[bytes], grace: float) -> None:
    """SIGTERM to the group, SIGKILL after `grace` seconds; returns when the leader is gone."""
    signal_group(process.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=grace)
    signal_group(process.pid, signal.SIGKILL)
    process.wait()


def carrying(name: str, value: str) -> list[psutil.Process]:
    """Every process but this one and its parents that has `name`=`value` in its environment."""
    own = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid not in own and process.environ().get(name) == value:
                found.append(process)
    return found


def marked(state: Path) -> list[psutil.Process]:
    """Every process but this one and its parents that carries the mark of `state`."""
    return carrying(STATE_MARK, str(state))


def reap(state: Path, grace: float = 3.0) -> int:
    """Ends every marked process of `state`: SIGTERM, then SIGKILL after `grace` seconds. Gives how many there were."""
    return end_all(marked(state), grace)


def end_all(found: list[psutil.Process], grace: float) -> int:
    """SIGTERM to all of `found`, SIGKILL to what is left of them after `grace` seconds. Gives how many there were."""
    for process in found:
        with contextlib.suppress(psutil.Error):
            process.terminate()
    _, alive = psutil.wait_procs(found, timeout=grace)
    for process in alive:
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(alive, timeout=grace)
    return len(found)
