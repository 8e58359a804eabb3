"""Checkpoints: an interrupted job goes on where it was and ends with the weights of an uninterrupted one.

SageMaker copies SM_CHECKPOINT_DIR (else /opt/ml/checkpoints) to S3 while the job runs, and back when it is started anew
after a Spot interruption.
"""

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from training.distributed import Group
from training.errors import TrainingError
from training.packed import packed, unpacked
from training.stopping import WRITING

Payload = dict[str, Any]


@dataclass(frozen=True)
class Checkpoints:
    """The checkpoint of one stage, a file in `folder`; written by rank 0, read by it for all ranks.

    identity   what the checkpoint must have been made of to be gone on from: a name -> anything that compares
    seconds    how much of a long epoch may be lost
    """

    folder: Path
    stage: str
    identity: Mapping[str, str]
    group: Group
    log: Callable[[str], None]
    seconds: float = 60.0
    _saved: list[float] = field(default_factory=lambda: [time.monotonic()], repr=False, compare=False)

    @property
    def path(self) -> Path:
        """Where the checkpoint lies."""
        return self.folder / f"{self.stage}.safetensors"

    def due(self) -> bool:
        """Whether it is time to save, by rank 0's clock. A meeting point."""
        return self.group.agree(time.monotonic() - self._saved[0] >= self.seconds)

    def save(self, payload: Payload) -> None:
        """Puts `payload` (tensors, numbers, texts and containers of them) in the place of the one before.

        It is there whole or not at all. Only rank 0 writes. Raises TrainingError when it cannot be written.
        """
        self._saved[0] = time.monotonic()
        if self.group.rank:
            return
        content = packed({"identity": dict(self.identity), "payload": payload})
        # One name for all attempts, so that those which were cut off do not pile up; hidden, as nothing reads it.
        partial = self.folder / f".{self.stage}.partial"
        try:
            with WRITING:
                self.folder.mkdir(parents=True, exist_ok=True)
                with partial.open("wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                partial.replace(self.path)
        except OSError as error:
            raise TrainingError(f"the checkpoint {self.path} cannot be written: {error.strerror}") from error

    def load(self) -> Payload | None:
        """What was saved last by a job like this one, the same on all ranks; None to start afresh, the log says why."""
        content = self.group.from_first(self._content() if self.group.rank == 0 else None)
        if content is None:
            return None
        payload: Payload = _unpacked(content)["payload"]
        return payload

    def _content(self) -> bytes | None:
        try:
            content = self.path.read_bytes()
            identity = _unpacked(content)["identity"]
        except FileNotFoundError:
            return None
        except Exception as error:  # the reader raises many kinds for bytes that are not its own
            reason = f"cannot be read ({type(error).__name__})"
        else:
            other = [name for name, value in self.identity.items() if identity.get(name) != value]
            if not other:
                return content
            reason = f"was made with other {' and '.join(other)}"
        self.say(f"{self.path} {reason}, so {self.stage} starts afresh")
        return None

    def say(self, sentence: str) -> None:
        """A line to the log, once for all ranks."""
        if self.group.rank == 0:
            self.log(f"checkpoint: {sentence}")


def _unpacked(content: bytes) -> Payload:
    found: Payload = unpacked(content)
    if not isinstance(found, dict) or not isinstance(found.get("identity"), dict) or "payload" not in found:
        raise ValueError("no checkpoint")
    return found
