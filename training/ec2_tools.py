"""What training/ec2_bootstrap.sh leaves to Python: `python -m training.ec2_tools NAME ARGUMENT...`. Nothing but stdlib.

arguments BASE64         the hyperparameters (a JSON object of strings) as --name value, each ended by a NUL
missing FILE             the requirements in FILE whose package is not installed, one a line
metadata PATH            what the instance metadata service says about PATH; exit status 1 when it says nothing
success TOKEN LOG MODEL SECONDS INSTANCE     SendTaskSuccess's request
failure TOKEN LOG ERROR FALLBACK             SendTaskFailure's request; the cause is the log's last `error: ...` line
"""

import base64
import json
import os
import re
import sys
import urllib.request
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

METADATA = "http://169.254.169.254/"
MAX_CAUSE = 1000
_METRIC = re.compile(r"^metric ([\w:]+)=([0-9.eE+-]+)", re.MULTILINE)


def arguments(encoded: str) -> list[str]:
    """The program's arguments. Raises ValueError when `encoded` is not base64 of a JSON object of strings."""
    values = json.loads(base64.b64decode(encoded, validate=True))
    if not isinstance(values, dict) or not all(isinstance(value, str) for value in values.values()):
        raise ValueError("HYPERPARAMETERS_B64 must be the base64 of a JSON object of strings")
    return [word for name, value in values.items() for word in (f"--{name}", value)]


def missing(requirements: str) -> list[str]:
    """The lines of `requirements` (name==version) that name a package which is not installed in any version."""
    lines = [line.partition("#")[0].strip() for line in requirements.splitlines()]
    return [line for line in lines if line and not _installed(re.split(r"[\s<>=!~\[;]", line, maxsplit=1)[0])]


def _installed(name: str) -> bool:
    try:
        metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def metrics(log: str) -> dict[str, float]:
    """The last value of every metric in the log."""
    return {name: float(value) for name, value in _METRIC.findall(log)}


def cause(log: str, fallback: str) -> str:
    """Why it failed, in at most 1000 characters: the program's own last `error: ...` line, else `fallback`."""
    own = [line.strip() for line in log.splitlines() if line.startswith("error: ")]
    said = own[-1] if own else f"error: {fallback}"
    return said if len(said) <= MAX_CAUSE else said[: MAX_CAUSE - 1] + "…"


def look_up(path: str) -> str | None:
    """What the instance metadata service (version 2) says about `path`; None when it says nothing or is not there."""
    try:
        session = _ask("api/token", "PUT", {"X-aws-ec2-metadata-token-ttl-seconds": "60"})
        return _ask(f"meta-data/{path}", "GET", {"X-aws-ec2-metadata-token": session})
    except OSError:  # an answer of 404 is one, too
        return None


def _ask(path: str, method: str, headers: dict[str, str]) -> str:
    address = os.environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT", METADATA).rstrip("/")
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # the service is never behind a proxy
    request = urllib.request.Request(f"{address}/latest/{path}", method=method, headers=headers)  # noqa: S310
    with opener.open(request, timeout=5) as answer:
        return str(answer.read().decode())


def success(token: str, log: str, model: str, seconds: str, instance: str) -> str:
    """The request of SendTaskSuccess."""
    output = {"model_data": model, "seconds": int(seconds), "instance_id": instance, "metrics": metrics(log)}
    return json.dumps({"taskToken": token, "output": json.dumps(output)})


def failure(token: str, log: str, error: str, fallback: str) -> str:
    """The request of SendTaskFailure."""
    return json.dumps({"taskToken": token, "error": error, "cause": cause(log, fallback)})


def _read(path: str) -> str:
    file = Path(path)
    return file.read_text(errors="replace") if file.exists() else ""


def main(words: Sequence[str]) -> int:
    """Runs the one that is named; gives the exit status."""
    name, *given = words
    if name == "arguments":
        sys.stdout.write("".join(f"{word}\0" for word in arguments(*given)))
    elif name == "missing":
        print("\n".join(missing(_read(*given))))
    elif name == "metadata":
        found = look_up(*given)
        print(found or "")
        return 0 if found is not None else 1
    elif name == "heartbeat":
        print(json.dumps({"taskToken": os.environ["TASK_TOKEN"]}))
    elif name in ("success", "failure"):
        token, (log, *rest) = os.environ["TASK_TOKEN"], given
        print((success if name == "success" else failure)(token, _read(log), *rest))
    else:
        print(f"error: ec2_tools has no {name!r}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
