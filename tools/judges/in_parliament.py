"""Run by .venv-check's Python, which has parliament: a list of policies' texts on stdin, findings on stdout.

A finding is [number of the policy, issue, detail, location].
Not parliament's own command: that copies whatever it reads to a file of a fixed name in /tmp.
"""

from __future__ import annotations

import json
import sys
import warnings

warnings.simplefilter("ignore")  # it imports pkg_resources, which warns of its end
from parliament import analyze_policy_string  # noqa: E402


def main() -> None:
    """Judge what is on stdin."""
    found = []
    for number, policy in enumerate(json.load(sys.stdin)):
        # The community's auditors look for what a role could make of its actions: not where principals are named.
        judged = analyze_policy_string(policy, include_community_auditors='"Principal"' not in policy)
        found += [[number, one.issue, str(one.detail), one.location] for one in judged.findings]
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
