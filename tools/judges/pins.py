"""What pip-audit knows of the pinned versions, where its service can be reached.

Without the service pip-audit itself says "No known vulnerabilities found" and skips every package. So a version with
holes that everybody knows is asked about first: a service that does not find those is not believed about the others.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tools.judges.skips import Finding, Verdict
from tools.template import ROOT

KNOWN_BAD = "jinja2==2.10"


def _ask(pins: Path) -> list[dict[str, Any]]:
    """What pip-audit says of each pin of a file; nothing if it ends in an error, as without a network."""
    command = [
        ROOT / ".venv-check" / "bin" / "python",
        "-m",
        "pip_audit",
        "--requirement",
        pins,
        "--no-deps",
        "--disable-pip",
    ]
    options = ["--progress-spinner", "off", "--format", "json", "--timeout", "10"]
    done = subprocess.run([str(part) for part in (*command, *options)], capture_output=True, text=True, check=False)
    found: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"] if done.stdout.startswith("{") else []
    return found


Ask = Callable[[Path], list[dict[str, Any]]]


def pip_audit(ask: Ask = _ask) -> Verdict:
    """Every pin of the environments; a service out of reach is a note and no failure. `ask` answers about a file."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as known:
        known.write(KNOWN_BAD + "\n")
        known.flush()
        if not any(one.get("vulns") for one in ask(Path(known.name))):
            return Verdict(
                "pip-audit", 0, [], note="NOTHING WAS AUDITED: no service of vulnerabilities can be reached from here"
            )
    failed, passed, unknown = [], 0, 0
    for path in sorted(ROOT.glob("constraints*.txt")):
        for pin in ask(path):
            unknown += "skip_reason" in pin
            passed += pin.get("vulns") == []
            failed += [
                Finding(hole["id"], path.name, f"{pin['name']} {pin['version']}", f"mended in {hole['fix_versions']}")
                for hole in pin.get("vulns", [])
            ]
    return Verdict("pip-audit", passed, failed, note=f"{unknown} pins are unknown to the service" if unknown else "")
