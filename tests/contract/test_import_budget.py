"""What a cold start of classify loads, as a list of packages: a test that holds on any machine, unlike one of time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

# Everything outside the standard library that a prediction may load, up to the made client: each is there for a reason.
ALLOWED = {
    "aws_lambda_powertools",  # Logger, Metrics
    "typing_extensions",  # Powertools
    "jmespath",  # Powertools and botocore
    "botocore",  # the client
    "dateutil",  # botocore
    "six",  # dateutil
    "urllib3",  # botocore
    "certifi",  # botocore, where it happens to be installed; not in Lambda
    "kennel",
    "functions",
}
# What the standard library has that is heavy, and a cold start has no use for.
UNWANTED = {"asyncio", "unittest", "multiprocessing", "sqlite3", "tkinter", "xmlrpc", "distutils", "pydoc"}

LOAD = """
import json, sys
before = set(sys.modules)
import functions.classify.app as app
app._runtime()
print(json.dumps(sorted({name.partition(".")[0] for name in set(sys.modules) - before})))
print(json.dumps([name for name in sys.modules if name.startswith("kennel")]))
"""


def loaded() -> tuple[set[str], set[str]]:
    """(top-level packages, modules of kennel) that importing classify and making its client brings in."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "layers" / "common")]),
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
    }
    ran = subprocess.run([sys.executable, "-c", LOAD], env=environment, capture_output=True, text=True, check=True)
    packages, modules = ran.stdout.splitlines()
    return set(json.loads(packages)), set(json.loads(modules))


def test_a_cold_start_loads_only_what_is_allowed() -> None:
    packages, modules = loaded()

    third_party = {name for name in packages if name not in sys.stdlib_module_names and not name.startswith("_")}
    assert third_party - ALLOWED == set()
    assert packages & UNWANTED == set()
    # boto3's resource layer, and what reads URLs, forms and data sets are not for every cold start
    assert "boto3" not in packages
    assert modules & {"kennel.fetch", "kennel.multipart", "kennel.dataset", "kennel.naming"} == set()
