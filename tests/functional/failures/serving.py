"""Models that do not serve as they should, and calls whose answer is lost."""

from __future__ import annotations

from .table import LOST, MODEL, NEW, NOTHING, Row, fault

DOES_NOT_START = {"train": {"files": {"broken": "1"}}}
ANSWERS_500 = {"train": {"files": {"status": "500"}}}
IS_ANOTHER = {
    "train": {
        "files": {
            "answer": '{"model": "another", "confident": true, '
            '"predictions": [{"breed": "beagle", "index": 0, "probability": 0.9}]}'
        }
    }
}
ROLLED_BACK = "UpdateEndpoint: the update was rolled back: the endpoint … is in service with its former configuration …"
WATCHED = {"rollout_wait_seconds": 300}
CANARY = {**WATCHED, "rollout": "canary", "minimum": 2}


def _lost(state: str, before: str) -> Row:
    lost = fault("sagemaker", state, **LOST)
    return Row(
        state, "it is done but the answer is lost", after=NEW, faults=(lost,), before=before, asked=before == MODEL
    )


ENDPOINT = (
    Row(
        "CreateEndpoint",
        "the model does not start",
        "EndpointFailed",
        "CreateEndpoint: the endpoint … is Failed: …the model is broken",
        before=NOTHING,
        behaviour=DOES_NOT_START,
    ),
    Row(
        "UpdateEndpoint",
        "the model does not start",
        "EndpointFailed",
        f"{ROLLED_BACK}the model is broken",
        behaviour=DOES_NOT_START,
        asked=True,
    ),
    Row(
        "UpdateEndpoint",
        "an alarm fires while all the new instances are watched",
        "EndpointFailed",
        ROLLED_BACK,
        input={"endpoint": WATCHED},
        behaviour=ANSWERS_500,
        asked=True,
        lossless=False,
    ),
    Row(
        "UpdateEndpoint",
        "an alarm fires while the canary is watched",
        "EndpointFailed",
        ROLLED_BACK,
        input={"endpoint": CANARY},
        behaviour=ANSWERS_500,
        asked=True,
        lossless=False,
    ),
    *(
        Row(
            "SmokeTest",
            "another model answers",
            "SmokeTestFailed",
            "SmokeTest: the answer came from model another, not from …",
            before=before,
            behaviour=IS_ANOTHER,
            asked=before == MODEL,
        )
        for before in (NOTHING, MODEL)
    ),
    *(
        Row(
            "SmokeTest",
            "the model answers every picture with 500",
            "SmokeTestFailed",
            "SmokeTest: the model failed on this picture",
            before=before,
            behaviour=ANSWERS_500,
            calls=6,
        )
        for before in (NOTHING, MODEL)
    ),
    Row(
        "SmokeTest",
        "the endpoint is throttled twice",
        after=NEW,
        faults=(fault("sagemaker", "InvokeEndpoint", "ThrottlingException", "Rate exceeded", times=4),),
        calls=3,
    ),
    *(
        _lost(*row)
        for row in (
            ("CreateModel", MODEL),
            ("CreateEndpointConfig", MODEL),
            ("CreateEndpoint", NOTHING),
            ("UpdateEndpoint", MODEL),
        )
    ),
)
