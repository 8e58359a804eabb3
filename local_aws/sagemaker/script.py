"""The script of one host of a training job: its process, its output line by line, and why it failed."""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import IO

from local_aws.processes import behind_servers, signal_group
from local_aws.sagemaker import entrypoint
from local_aws.sagemaker.container import Host
from local_aws.store import Record

REASON_LIMIT = 1024
_REASON_LINES = 10
# From here on torchrun tells of itself: what the script said last stands before.
_TORCHRUN = "torch/distributed/elastic/"


class Process:
    """The script of one host and what reads its output."""

    def __init__(self, host: Host, record: Record, on_line: Callable[[str, str], None]) -> None:
        self.host = host
        self.own_command = bool(entrypoint.own_command(record))
        self.stream = f"{record['TrainingJobName']}/{host.name}-{int(time.time())}"
        self.popen = subprocess.Popen(
            host.command(record),
            cwd=host.code,
            env=host.environment(record),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        behind_servers(self.popen.pid)
        self._errors: deque[str] = deque(maxlen=_REASON_LINES)
        self._on_line = on_line
        assert self.popen.stdout is not None
        assert self.popen.stderr is not None
        self._readers = [
            threading.Thread(target=self._read, args=(self.popen.stdout, False), daemon=True),
            threading.Thread(target=self._read, args=(self.popen.stderr, True), daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    def _read(self, pipe: IO[bytes], kept: bool) -> None:
        for raw in pipe:
            line = raw.decode(errors="replace").rstrip("\r\n")
            kept = kept and _TORCHRUN not in line
            if kept and line.strip():
                self._errors.append(line)
            self._on_line(self.stream, line)

    def signal(self, number: int) -> None:
        """Signals the script and everything it started."""
        signal_group(self.popen.pid, number)

    @property
    def ended(self) -> bool:
        """Whether the script is over."""
        return self.popen.poll() is not None

    @property
    def failed(self) -> bool:
        """Whether the script is over and its exit code is not 0."""
        return self.popen.poll() not in (None, 0)

    def join(self) -> int:
        """Waits for the end of the process and of its output; gives the exit code."""
        code = self.popen.wait()
        # Whatever the script left running would keep the pipes open for ever.
        self.signal(signal.SIGKILL)
        for reader in self._readers:
            reader.join(timeout=5)
        return code

    @property
    def explains(self) -> bool:
        """Whether the script's last words hold a sentence for a person."""
        return explanation(self._errors) is not None

    def failure_reason(self, code: int) -> str:
        """FailureReason as the toolkit words it: a clear sentence when there is one, else the last five lines."""
        said = entrypoint.failure(self.host.root)
        if said or self.own_command:
            return f"AlgorithmError: {said[: REASON_LIMIT - 50]}, exit code: {code}"
        text = (explanation(self._errors) or "\n".join([*self._errors][-5:]))[: REASON_LIMIT - 400]
        command = " ".join(["python", *self.popen.args[1:]]) if isinstance(self.popen.args, list) else ""
        reason = f'AlgorithmError: ExecuteUserScriptError:\nExitCode {code}\nErrorMessage "{text}"\nCommand "{command}"'
        return f"{reason[: REASON_LIMIT - 30]}, exit code: {code}"


def explanation(lines: Iterable[str]) -> str | None:
    """The last of `lines` that is a sentence for a person, beginning with `error:`; None where there is none.

    It need not be the very last: a library whose threads still run may have something to say while the script ends.
    """
    return next((line for line in reversed([*lines]) if line.startswith("error:")), None)


def worst(processes: list[Process], codes: list[int], first: list[Process]) -> str | None:
    """Why a job failed, or None when every code is 0: one host's reason, for the others fell with it.

    `first` are those that had failed before the rest was ended. One that explains itself tells more than one that
    lost its peer, and of equals the first to fall tells most.
    """
    failed = [(one, code) for one, code in zip(processes, codes, strict=True) if code != 0]
    if not failed:
        return None
    process, code = min(failed, key=lambda pair: (not pair[0].explains, pair[0] not in first, pair[0].host.rank))
    return process.failure_reason(code)
