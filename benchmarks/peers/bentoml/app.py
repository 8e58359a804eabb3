"""BentoML: a worker process a core, each with one thread for the service; with uvloop and httptools.

A picture comes as a file (BentoML's way for bytes), which it writes to a temporary folder.
"""

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import bentoml
from bentoml.validators import ContentType

from benchmarks.peers import engine


@bentoml.service(workers=engine.settings().workers, threads=1, logging={"access": {"enabled": False}})
class Race:
    """The engine as a service."""

    def __init__(self) -> None:
        self.engine = engine.load(engine.settings())

    @bentoml.api(route="/invocations")  # type: ignore[untyped-decorator]
    def invocations(self, picture: Annotated[Path, ContentType("image/jpeg")], /) -> dict[str, Any]:
        """A picture's likeliest classes."""
        return engine.answers(self.engine.infer([self.engine.decode(picture.read_bytes())]))[0]


if __name__ == "__main__":
    command = [str(Path(sys.executable).with_name("bentoml")), "serve", "benchmarks.peers.bentoml.app:Race"]
    os.execv(command[0], [*command, "--port", str(engine.settings().port)])
