"""The peers' environments: one each, from its pinned requirements, kept in `.local/peers` until those change."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import venv
from pathlib import Path

from benchmarks.claims import ROOT

HERE = Path(__file__).parent
KEPT = ROOT / ".local" / "peers"


class NotInstalledError(Exception):
    """A peer that cannot be installed here; the message is pip's reason."""


def python_of(peer: str) -> Path:
    """The interpreter of a peer's environment, which is made when it is not there. Raises `NotInstalledError`."""
    wanted = (HERE / peer / "requirements.txt").read_bytes()
    folder, stamp = KEPT / peer, hashlib.sha256(wanted + sys.version.encode()).hexdigest()
    python, ready = folder / "bin" / "python", folder / "ready"
    if ready.is_file() and ready.read_text() == stamp:
        return python
    print(f"{peer}: making its environment (once, a minute or two)", flush=True)
    venv.create(folder, clear=True, with_pip=True)
    command = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    done = subprocess.run(
        [*command, "-r", str(HERE / peer / "requirements.txt")], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise NotInstalledError((done.stderr.strip().splitlines() or ["pip failed"])[-1][:300])
    ready.write_text(stamp)
    return python
