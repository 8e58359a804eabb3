"""The whole failure table, and the page that shows it (`python -m tests.functional.failures.rows`)."""

from __future__ import annotations

from .batches import BATCH_ROWS, LATE_BATCH, STOPPED_BATCH
from .calls import CALLS
from .hard import CLEAN_UP, FORBIDDEN
from .jobs import JOB_ROWS, JUDGED, LATE_ROWS
from .serving import ENDPOINT
from .table import BROKEN, MODEL, NEW, NOTHING, Row
from .test_aborts import ROWS_ABORTS
from .test_ec2 import ROWS_EC2

ROWS = (
    *(row for call in CALLS for row in call.rows()),
    *JOB_ROWS,
    *JUDGED,
    *ENDPOINT,
    *FORBIDDEN,
    *(row for one in CLEAN_UP for row in one.rows()),
)
SECTIONS = (
    ("Jobs", (*JOB_ROWS, *LATE_ROWS)),
    ("Training on EC2", ROWS_EC2),
    ("Input, image, quality gate and approval", JUDGED),
    ("The endpoint", ENDPOINT),
    ("A person stops the run", ROWS_ABORTS),
    ("A batch", (*BATCH_ROWS, LATE_BATCH, STOPPED_BATCH)),
    ("A missing permission", FORBIDDEN),
    ("Cleaning up fails, too", tuple(row for one in CLEAN_UP for row in one.rows())),
    ("Calls refused and throttled", tuple(row for call in CALLS for row in call.rows())),
)
INTRODUCTION = """# What goes wrong, and what then

Generated from the tests' own table: `python -m tests.functional.failures.rows > docs/failures.md`. Every row is a run
of the deployed stack on [the embedded AWS](../local_aws/COVERAGE.md) (`pytest tests/functional/failures`), with the
real state machines and roles, and small programs in the place of training and serving.

After each run the test looks at what is left: no job, instance, build or execution runs, no endpoint is half-made or
has lost its scaling, and no model, endpoint configuration or waiting model package stays that nobody uses. Where
something is left the last column says so; where AWS refused to have it cleared away, the cause ends with "Cleaning up
failed at ..." and the name of the state. The teardown (`make destroy`) removes it. In the rows of an update that is
refused, taken back or undone before its smoke test, and of aborts, a client asks all the time and loses no request,
except where the new model itself answers 500 before an alarm takes it back.

A cause is what Step Functions' DescribeExecution, the console and `python -m tools.pipeline` show; `…` stands
for what differs from run to run. A batch changes nothing that serves, and what it has answered stays for when it is
started again. "Throttled twice" means that the third try goes through. A refusal that Step
Functions gives the same name as a passing error is tried a few times before it counts.
"""
_SERVES = {NOTHING: "nothing", MODEL: "the model before", BROKEN: "nothing"}


def _line(row: Row) -> str:
    ends = f"`{row.error}`" if row.error else "succeeds"
    serves = "the new model" if row.after == NEW else _SERVES[row.before]
    happens = row.happens + (" (first deployment)" if row.before == NOTHING else "")
    cause = row.cause.replace("|", "\\|").strip()
    return f"| {row.state} | {happens} | {ends} | {cause} | {serves} | {'; '.join(row.left).strip()} |"


def page() -> str:
    """docs/failures.md."""
    header = (
        "| State | What happens | The run | Cause | What serves then | Left |\n| --- | --- | --- | --- | --- | --- |"
    )
    tables = (f"## {title}\n\n{header}\n" + "\n".join(_line(row) for row in rows) for title, rows in SECTIONS)
    return INTRODUCTION + "\n" + "\n\n".join(tables) + "\n"


if __name__ == "__main__":
    print(page(), end="")
