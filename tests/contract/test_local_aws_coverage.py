"""local_aws/COVERAGE.md lists exactly the operations that are there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from local_aws.autoscaling import AutoScaling
from local_aws.ec2_api import EC2
from local_aws.errors import Response
from local_aws.sagemaker.api import SageMaker
from local_aws.settings import REPOSITORY_ROOT, Paths

COVERAGE = (REPOSITORY_ROOT / "local_aws" / "COVERAGE.md").read_text()


def listed(heading: str) -> set[str]:
    """The operations in the first column of the table under `heading`."""
    section = COVERAGE.split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
    cells = re.findall(r"^\| *([^|]+?) *\|", section, re.MULTILINE)
    return {name for cell in cells for name in re.findall(r"`([A-Z]\w+)`", cell)}


@pytest.mark.parametrize("heading", ["SageMaker", "Application Auto Scaling", "EC2"])
def test_the_table_and_the_dispatch_agree(heading: str, tmp_path: Path) -> None:
    operations = {
        "SageMaker": set(SageMaker(Paths(tmp_path)).service.operations),
        "Application Auto Scaling": set(AutoScaling(tmp_path / "autoscaling.db", {}).service.operations),
        "EC2": set(EC2(Paths(tmp_path), lambda name: None, _nobody).operations),
    }

    assert listed(heading) == operations[heading]


async def _nobody(*_: Any) -> Response:
    raise AssertionError("nobody is asked")
