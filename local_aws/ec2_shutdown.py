"""The `shutdown` command on the PATH of an embedded EC2 instance; run as a script, with the instance's address first.

    shutdown [-h | -P | -H] [now | +MINUTES]     end the instance, now or in so many (real) minutes; without a time: +1
    shutdown -c                                  take that back

What the end means is InstanceInitiatedShutdownBehavior's to say. Standard library only: it runs without site-packages.
"""

from __future__ import annotations

import http.client
import json
import sys
import time
from collections.abc import Sequence

PATH = "/local-aws/shutdown"
_POWER_OFF = {"-h", "-P", "-H", "--halt", "--poweroff", "--no-wall"}
_CANCEL = "-c"
_DEFAULT = "+1"


def minutes_of(words: Sequence[str]) -> float | None:
    """Minutes until the end, or None to cancel. Raises ValueError naming what is not understood."""
    times = [word for word in words if not word.startswith("-")]
    options = {word for word in words if word.startswith("-")}
    wrong = options - _POWER_OFF - {_CANCEL}
    if wrong:
        raise ValueError(f"{' '.join(sorted(wrong))} is not there in the local AWS (-h, -P, -H and -c are)")
    if _CANCEL in options:
        return None
    text = times[0] if times else _DEFAULT  # what follows the time is a message to people who are logged in
    if text == "now":
        return 0.0
    if not text.startswith("+") or not text[1:].isdigit():
        raise ValueError(f"Failed to parse time specification: {text} (give now or +MINUTES)")
    return float(text[1:])


def main(address: str, words: Sequence[str]) -> int:
    """Tells the instance at `address` (host:port); gives the exit status."""
    try:
        minutes = minutes_of(words)
    except ValueError as error:
        print(f"shutdown: {error}", file=sys.stderr)
        return 1
    connection = http.client.HTTPConnection(address, timeout=10)
    connection.request("POST", PATH, json.dumps(minutes))
    connection.getresponse().read()
    if minutes:
        when = time.strftime("%a %Y-%m-%d %H:%M:%S %Z", time.localtime(time.time() + minutes * 60))
        print(f"Shutdown scheduled for {when}, use 'shutdown -c' to cancel.", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
