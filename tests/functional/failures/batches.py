"""What may go wrong in a batch. The pictures of a row, by name, say to the quick container what it is to do."""

from __future__ import annotations

from .table import LOST, STOP, Row, fault

_REFUSED = "ResourceLimitExceeded: not today"
_DENIED = "An error occurred (AccessDenied) when calling the"
_HANGS = {"pictures": {"hangs.jpg": "sleep:600"}}


def _create(error: str, message: str, **more: object) -> tuple[dict[str, object], ...]:
    return (dict(fault("sagemaker", "CreateTransformJob", error, message, **more)),)


BATCH_ROWS = (
    Row("Plan", "the input is wrong", "InvalidBatch", "Plan: top_k: 0 is below 1", input={"top_k": 0}),
    Row(
        "Plan",
        "PlanBatchRole lacks its statement FindModel",
        "PlanFailed",
        "Plan: the endpoint could not be looked at",
        forbid=("PlanBatchRole", "FindModel"),
    ),
    Row(
        "Transform",
        "CreateTransformJob is refused",
        "TransformFailed",
        f"Transform: {_REFUSED}",
        faults=_create("ResourceLimitExceeded", _REFUSED),
    ),
    Row(
        "Transform",
        "CreateTransformJob is throttled twice",
        faults=_create("ThrottlingException", "Rate exceeded", times=2),
    ),
    Row(
        "Transform",
        "the job is started but the answer is lost: then it is already there",
        "TransformFailed",
        "Transform: … already exists",
        faults=(fault("sagemaker", "CreateTransformJob", **LOST),),
        behaviour=_HANGS,
    ),
    Row(
        "Transform",
        "the container fails on a picture",
        "TransformFailed",
        "Transform: AlgorithmError: See job logs for more information (transform job …)",
        behaviour={"pictures": {"fails.jpg": "status:500"}},
    ),
    Row(
        "Transform",
        "a person stops the job",
        "TransformFailed",
        "Transform: somebody stopped the job (transform job …)",
        behaviour=_HANGS,
        person=STOP,
    ),
    Row(
        "Transform",
        "ServingRole lacks its statement WriteBatchResults",
        "TransformFailed",
        "Transform: …s3:PutObject",
        forbid=("ServingRole", "WriteBatchResults"),
    ),
    Row(
        "Collect",
        "CollectBatchRole lacks its statement ReadResults",
        "CollectFailed",
        f"Collect: {_DENIED} GetObject operation",
        forbid=("CollectBatchRole", "ReadResults"),
    ),
)
LATE_BATCH = Row(
    "Transform",
    "the job runs into its time limit",
    "TimedOut",
    "Transform: stopped at its time limit",
    behaviour=_HANGS,
)
STOPPED_BATCH = Row("Transform", "the batch is stopped in Transform", "ABORTED", behaviour=_HANGS)
