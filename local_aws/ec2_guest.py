"""One instance's life, in a thread of its own: it boots, runs its user data, and ends when somebody says so."""

from __future__ import annotations

import errno
import logging
import os
import shlex
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local_aws import ec2_shutdown, settings
from local_aws.ec2_metadata import Metadata, Tree
from local_aws.processes import behind_servers, carrying, end_all, passed_on

logger = logging.getLogger("local_aws.ec2")

INSTANCE_MARK = "LOCAL_AWS_INSTANCE"
CODES = {"pending": 0, "running": 16, "shutting-down": 32, "terminated": 48, "stopping": 64, "stopped": 80}
ON_THE_WAY = {"terminated": "shutting-down", "stopped": "stopping"}
# AWS takes from seconds to minutes for these; nobody who waits properly can tell.
PENDING_SECONDS = 0.3
ENDING_SECONDS = 0.3
BUSY_SECONDS = 10.0
CONSOLE = "console.log"


@dataclass(frozen=True)
class Ending:
    """How an instance ends: the state it comes to ("terminated" or "stopped") and why, as DescribeInstances says it."""

    state: str
    code: str
    message: str

    @property
    def reason(self) -> dict[str, str]:
        """The record's StateReason."""
        return {"Code": self.code, "Message": f"{self.code}: {self.message}"}


def set_state(record: dict[str, Any], name: str) -> None:
    """Puts `record` into the state `name`."""
    record["State"] = {"Code": CODES[name], "Name": name}


def _started(command: list[Path], **options: Any) -> subprocess.Popen[bytes]:
    """Starts a program that was written just now.

    Another thread's child may for a moment hold the file open for writing, as it was when that child was forked; until
    it is itself another program, the kernel refuses to run the file.
    """
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            return subprocess.Popen(command, **options)
        except OSError as error:
            if error.errno != errno.ETXTBSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)


class Guest:
    """A living instance. `record` is MiniStack's record of it; `folder` is its file system; `data` its user data.

    `minute` is how many seconds a minute of the `shutdown` command has: real ones, but in a test.
    """

    def __init__(self, record: dict[str, Any], folder: Path, data: bytes, tree: Tree, minute: float = 60.0) -> None:
        self.record = record
        self.folder = folder
        self.on_end: Callable[[], None] = lambda: None
        self._data = data
        self._minute = minute
        self._changed = threading.Condition()
        self._due: dict[str, tuple[float, Ending]] = {}
        self._metadata = Metadata(tree, record["MetadataOptions"], self._shut_down)
        self._done = False

    # What the outside may do

    def start(self, run: Callable[[Callable[[], None]], Any]) -> None:
        """Boots. `run` calls what it is given in the caller's context (account and region)."""
        threading.Thread(target=run, args=(self._live,), name=self.record["InstanceId"], daemon=True).start()

    def end(self, who: str, ending: Ending, seconds: float = 0.0) -> bool:
        """Ends the instance in `seconds`. The earliest of several callers (`who`) counts; each may change its mind.

        False when it has ended already.
        """
        with self._changed:
            if self._done:
                return False
            if not seconds:
                self._announce(ending)
            self._due[who] = (time.monotonic() + seconds, ending)
            self._changed.notify()
        return True

    def abandon(self) -> None:
        """Kills the processes and leaves the record as it is: the emulator itself is ending."""
        self.on_end = lambda: None
        end_all(carrying(INSTANCE_MARK, self.record["InstanceId"]), 0)
        self._metadata.close()

    def _shut_down(self, minutes: float | None) -> None:
        """What the `shutdown` command in the instance does; None takes it back."""
        state = "terminated" if self.record["InstanceInitiatedShutdownBehavior"] == "terminate" else "stopped"
        if minutes is None:
            with self._changed:
                self._due.pop("guest", None)
                self._changed.notify()
        else:
            ending = Ending(state, "Client.InstanceInitiatedShutdown", "Instance initiated shutdown")
            self.end("guest", ending, minutes * self._minute)

    def _announce(self, ending: Ending) -> None:
        """The state on the way and its reason; terminating wins over stopping."""
        if self.record["State"]["Name"] != "shutting-down":
            set_state(self.record, ON_THE_WAY[ending.state])
            self.record["StateReason"] = ending.reason
            when = time.strftime("%Y-%m-%d %H:%M:%S GMT", time.gmtime())
            self.record["StateTransitionReason"] = f"{ending.message} ({when})"

    # The thread

    def _live(self) -> None:
        try:
            if not self._told_within(PENDING_SECONDS):
                with self._changed:
                    if self.record["State"]["Name"] == "pending":
                        set_state(self.record, "running")
                self._run_user_data()
                self._told_within(None)
            self._finish()
        except Exception:
            logger.exception("the instance %s broke", self.record["InstanceId"])
            self._announce(Ending("terminated", "Server.InternalError", "see the emulator's log"))
            self._close()

    def _told_within(self, seconds: float | None) -> bool:
        """Waits (None: for ever) until an ending is due; False when none was in `seconds`."""
        limit = None if seconds is None else time.monotonic() + seconds
        with self._changed:
            while True:
                now = time.monotonic()
                first = min(self._due.values(), key=lambda one: one[0], default=None)
                if first is not None and first[0] <= now:
                    self._announce(first[1])
                    return True
                if limit is not None and limit <= now:
                    return False
                ends = [at for at in (limit, first and first[0]) if at is not None]
                self._changed.wait(min(ends) - now if ends else None)

    def _run_user_data(self) -> None:
        """cloud-init's part: a script (`#!`) is run once, as root would in /; anything else is left alone."""
        environment = self._environment()
        script = self.folder / "user-data"
        script.write_bytes(self._data)
        script.chmod(0o700)
        with (self.folder / CONSOLE).open("ab") as console:
            if not self._data.startswith(b"#!"):
                console.write(b"user data: none that is a script\n")
                return
            try:
                process = _started(
                    [script],
                    cwd=self.folder / "root",
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=console,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            except OSError as error:  # an interpreter that is not there: on AWS, too, the instance runs all the same
                console.write(f"user data: {error.strerror}\n".encode())
                return
        behind_servers(process.pid)
        threading.Thread(target=process.wait, daemon=True).start()  # so that it does not stay as a zombie

    def _environment(self) -> dict[str, str]:
        commands, home, scratch = (self.folder / name for name in ("bin", "root", "tmp"))
        for folder in (commands, home, scratch):
            folder.mkdir(exist_ok=True)
        self._put_commands(commands)
        passed = passed_on()
        path = os.pathsep.join([str(commands), str(Path(sys.executable).parent), passed.get("PATH", os.defpath)])
        return {
            **passed,
            "PATH": path,
            "HOME": str(home),
            "TMPDIR": str(scratch),
            INSTANCE_MARK: self.record["InstanceId"],
            "AWS_REGION": settings.REGION,
            "AWS_DEFAULT_REGION": settings.REGION,
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{os.environ.get('GATEWAY_PORT', '')}",
            "AWS_EC2_METADATA_SERVICE_ENDPOINT": self._metadata.url,
            # The link-local service answers within a millisecond; a busy machine's may not.
            "AWS_METADATA_SERVICE_TIMEOUT": "5",
            "AWS_METADATA_SERVICE_NUM_ATTEMPTS": "3",
        }

    def _put_commands(self, folder: Path) -> None:
        address = f"127.0.0.1:{self._metadata.server_port}"
        words = [sys.executable, "-I", "-S", str(Path(ec2_shutdown.__file__).resolve()), address]
        shutdown = folder / "shutdown"
        shutdown.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')
        shutdown.chmod(0o755)
        aws = settings.aws_command()
        if aws is not None:
            (folder / "aws").symlink_to(aws)

    def _finish(self) -> None:
        """Ends every process the instance has, whatever session it put itself into, and then the instance."""
        instance = self.record["InstanceId"]
        end_all(carrying(INSTANCE_MARK, instance), settings.guest_grace_seconds())
        end_all(carrying(INSTANCE_MARK, instance), 0)  # what was started while the others ended
        for name in ("user-data", "bin", "root", "tmp"):
            path = self.folder / name
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
        time.sleep(ENDING_SECONDS)
        self._close()

    def _close(self) -> None:
        """The last thing: the final state. Nothing can be asked of the instance afterwards."""
        self._metadata.close()
        with self._changed:
            self._done = True
            terminated = self.record["State"]["Name"] == "shutting-down"
            self.record["_terminated_at"] = time.time()
            set_state(self.record, "terminated" if terminated else "stopped")
        self.on_end()
