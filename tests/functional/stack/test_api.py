"""The API of the deployed stack: every input form, every answer form, and clean refusals."""

from __future__ import annotations

import base64
import json
import subprocess
import time
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest

from local_aws.processes import marked
from tests.functional.conftest import wait_for
from tests.functional.stack.conftest import DATA_PREFIX, Deployed
from tools import ask
from tools.local_stack import ROOT

pytestmark = pytest.mark.slow


def invoke(deployed: Deployed, event: dict[str, Any]) -> dict[str, Any]:
    """Invoke classify directly; returns its proxy-shaped answer with the body parsed."""
    outputs = boto3.client("cloudformation").describe_stacks(StackName=deployed.stack.name)["Stacks"][0]["Outputs"]
    name = next(one["OutputValue"] for one in outputs if one["OutputKey"] == "ClassifyFunction")
    payload = boto3.client("lambda").invoke(FunctionName=name, Qualifier="live", Payload=json.dumps(event))["Payload"]
    answer: dict[str, Any] = json.load(payload)
    return answer | {"body": json.loads(answer["body"])}


def test_the_api_answers_most_test_pictures_rightly(deployed: Deployed) -> None:
    answers = ask.ask(deployed.stack, deployed.test_pictures)
    assert {answer.status for answer in answers} == {200}
    assert ask.accuracy(answers) > 0.5  # four breeds, so chance is 0.25


def test_bytes_base64_and_s3_give_the_same_answer(deployed: Deployed) -> None:
    path = deployed.test_pictures[0]
    key = f"{DATA_PREFIX}{'/'.join(path.parts[-3:])}"
    bodies = [
        deployed.post(content=path.read_bytes(), headers={"content-type": "image/jpeg"}),
        deployed.post(json={"image": base64.b64encode(path.read_bytes()).decode()}),
        deployed.post(json={"s3": f"s3://{deployed.stack.data_bucket}/{key}"}),
    ]
    assert [response.status_code for response in bodies] == [200, 200, 200]
    predictions = [response.json()["predictions"] for response in bodies]
    assert predictions[0] == predictions[1] == predictions[2]


def test_top_k_decides_how_many_breeds_are_answered_and_probabilities_fall(deployed: Deployed) -> None:
    response = deployed.post(content=deployed.test_pictures[0].read_bytes(), params={"top_k": 3})
    probabilities = [one["probability"] for one in response.json()["predictions"]]
    assert len(probabilities) == 3
    assert probabilities == sorted(probabilities, reverse=True)


def test_logits_and_argmax_keep_the_baselines_forms(deployed: Deployed) -> None:
    picture = deployed.test_pictures[0].read_bytes()
    logits = deployed.post(content=picture, params={"output": "logits"}).json()
    argmax = deployed.post(content=picture, params={"output": "argmax"}).json()
    assert len(logits[0]) == 4
    assert argmax == [logits[0].index(max(logits[0]))]


def test_several_pictures_come_back_in_their_order_and_a_bad_one_spoils_no_other(deployed: Deployed) -> None:
    pictures = [path.read_bytes() for path in deployed.test_pictures[:3]]
    alone = [deployed.post(content=picture).json()["predictions"] for picture in pictures]
    bad = pictures[0][:2000]  # a JPEG by its first bytes, which breaks off
    encoded = [{"image": base64.b64encode(one).decode()} for one in (*pictures[:2], bad, pictures[2])]
    files = [("any", (f"{number}.jpg", one)) for number, one in enumerate((*pictures[:2], bad, pictures[2]))]
    for request in ({"json": {"pictures": encoded}}, {"files": files}):
        response = deployed.post(**request)
        assert response.status_code == 200, response.text
        first, second, spoilt, third = response.json()["results"]
        assert spoilt["problem"]["type"] == "about:blank#unreadable-image"
        for one, expected in zip((first, second, third), alone, strict=True):
            assert [each["breed"] for each in one["predictions"]] == [each["breed"] for each in expected]
    argmax = deployed.post(json={"pictures": encoded, "output": "argmax"}).json()
    assert argmax == [alone[0][0]["index"], alone[1][0]["index"], None, alone[2][0]["index"]]


def test_timing_and_explanation_are_there_when_asked_for(deployed: Deployed) -> None:
    picture = deployed.test_pictures[0].read_bytes()
    response = deployed.post(content=picture, params={"timing": "true", "explain": "true"}).json()
    assert {"read", "endpoint", "queue", "decode", "model"} <= response["timing_ms"].keys()
    assert response["explanation"]["breed"] == response["predictions"][0]["breed"]
    assert base64.b64decode(response["explanation"]["heat_map"]).startswith(b"\x89PNG")
    assert not {"timing_ms", "explanation"} & deployed.post(content=picture).json().keys()


def test_a_callers_id_and_trace_are_in_the_answer_and_in_both_logs(deployed: Deployed) -> None:
    trace = "1-67891233-abcdef012345678912345678"
    picture = deployed.test_pictures[1].read_bytes()
    headers = {"x-request-id": "order-66.functional", "x-amzn-trace-id": f"Root={trace};Sampled=0"}

    response = deployed.post(content=picture, headers=headers)

    assert response.headers["x-request-id"] == response.json()["request_id"] == "order-66.functional"
    name = deployed.stack.name
    for group in (f"/aws/lambda/{name}-classify", f"/aws/sagemaker/Endpoints/{name}"):
        assert (group, trace) == (group, line_of(group, "order-66.functional")["trace"])


def line_of(group: str, request_id: str) -> dict[str, Any]:
    """The line of this request in a log group, once it is there."""

    def found() -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in logged(group) if '"request_id"' in line]
        return [line for line in lines if line["request_id"] == request_id]

    wait_for(lambda: bool(found()), f"the line of {request_id} in {group}")
    return found()[0]


def test_a_direct_invocation_takes_the_same_forms(deployed: Deployed) -> None:
    path = deployed.test_pictures[0]
    answer = invoke(deployed, {"image": base64.b64encode(path.read_bytes()).decode()})
    assert answer["statusCode"] == 200
    assert answer["body"]["request_id"]


def test_the_baselines_request_dict_form_is_understood_and_its_address_refused(deployed: Deployed) -> None:
    event = {
        "endpoint_name": deployed.stack.endpoint_name,
        "request_dict": json.dumps({"url": "http://169.254.169.254/latest/meta-data/"}),
    }
    answer = invoke(deployed, event)
    assert 400 <= answer["statusCode"] < 500
    assert {"type", "title", "status", "detail", "request_id"} <= answer["body"].keys()


def logged(group: str) -> list[str]:
    """Every line of a log group so far."""
    pages = boto3.client("logs").get_paginator("filter_log_events").paginate(logGroupName=group)
    return [event["message"] for page in pages for event in page["events"]]


def test_a_missing_or_wrong_key_is_refused_before_any_function_runs(deployed: Deployed) -> None:
    group = f"/aws/lambda/{deployed.stack.name}-classify"
    before = len(logged(group))
    picture = deployed.test_pictures[0].read_bytes()

    for headers in ({}, {"x-api-key": "wrong-key-wrong-key-wrong"}):
        response = httpx.post(f"{deployed.stack.api_url}/predictions", content=picture, headers=headers)
        assert response.status_code == 403

    # of a call with the right key there are lines, and there are no others
    right = deployed.post(content=picture).json()["request_id"]
    wait_for(lambda: any(right in line for line in logged(group)), "the log of the call with the right key")
    assert {json.loads(line)["request_id"] for line in logged(group)[before:] if '"request_id"' in line} == {right}


def test_no_log_holds_a_key_a_query_or_a_picture(deployed: Deployed) -> None:
    picture = deployed.test_pictures[0].read_bytes()
    encoded = base64.b64encode(picture).decode()
    deployed.post(content=picture, params={"top_k": "2"})
    deployed.post(json={"image": encoded})
    deployed.post(content=picture[:-100], headers={"content-type": "image/jpeg"})
    deployed.post(content=b"no picture: not-to-be-told", params={"top_k": "not-to-be-told"})
    deployed.post(json={"url": "http://127.0.0.1/not-to-be-told.jpg?signature=not-to-be-told"})
    last = deployed.post(json={"url": "http://not-to-be-told:not-to-be-told@localhost/"}).json()["request_id"]

    pages = boto3.client("logs").get_paginator("describe_log_groups").paginate()
    groups = [group["logGroupName"] for page in pages for group in page["logGroups"]]
    classify = f"/aws/lambda/{deployed.stack.name}-classify"
    wait_for(lambda: any(last in line for line in logged(classify)), "the log of the last call")
    text = "\n".join(line for group in groups for line in logged(group))

    assert f"/aws/apigateway/{deployed.stack.name}-access" in groups
    assert any("/Endpoints/" in group for group in groups)
    for secret in (deployed.stack.api_key, "not-to-be-told", encoded[100:140], repr(picture[100:120])[2:-1]):
        assert secret not in text


@pytest.mark.parametrize(
    ("route", "part"), [("/", "<!doctype html>"), ("/health", '"ok"'), ("/openapi.json", '"openapi":"3.1.0"')]
)
def test_what_the_api_tells_of_itself_needs_no_key(deployed: Deployed, route: str, part: str) -> None:
    response = httpx.get(f"{deployed.stack.api_url}{route}")
    assert response.status_code == 200
    assert part in response.text
    assert response.headers["x-request-id"]
    assert response.headers["x-content-type-options"] == "nosniff"


def test_what_is_serving_is_told_to_those_with_the_key(deployed: Deployed) -> None:
    address = f"{deployed.stack.api_url}/model"
    assert httpx.get(address).status_code == 403
    model = httpx.get(address, headers={"x-api-key": deployed.stack.api_key}).json()
    # the model that answers, with its classes by the names and at the places that answers have
    answer = deployed.post(content=deployed.test_pictures[0].read_bytes()).json()
    assert model["model"] == answer["model"]
    assert all(model["classes"][one["index"]] == one["breed"] for one in answer["predictions"])
    assert model["metrics"]["accuracy"] > 0.5


@pytest.mark.parametrize(
    ("request_parts", "status"),
    [
        ({"content": b"", "headers": {"content-type": "image/jpeg"}}, 400),
        ({"content": b"not a picture", "headers": {"content-type": "image/jpeg"}}, 415),
        ({"json": {}}, 400),
        ({"json": {"image": "%%%"}}, 400),
        ({"json": {"s3": "s3://somebody-elses-bucket/x.jpg"}}, 403),
        ({"content": b"{", "headers": {"content-type": "application/json"}}, 400),
        ({"json": {"image": "aGVsbG8=", "top_k": 0}}, 400),
        ({"json": {"pictures": []}}, 400),
        ({"json": {"pictures": [{"image": "aGVsbG8="}], "explain": True}}, 400),
        ({"files": {"dog": ("dog.jpg", b"x")}, "data": {"top_k": "3"}}, 400),
        ({"content": b"--b", "headers": {"content-type": "multipart/form-data; boundary=b"}}, 400),
    ],
)
def test_a_bad_request_is_answered_as_a_problem(deployed: Deployed, request_parts: dict[str, Any], status: int) -> None:
    response = deployed.post(**request_parts)
    problem = response.json()
    assert response.status_code == status, problem
    assert response.headers["content-type"].startswith("application/problem+json")
    assert problem["status"] == status
    assert problem["detail"]
    assert problem["request_id"]
    assert "Traceback" not in response.text


def test_schemathesis_finds_no_answer_that_the_description_does_not_foresee(deployed: Deployed, tmp_path: Path) -> None:
    """Every status, media type, header and body of hundreds of good and bad requests, made from /openapi.json alone.

    Left out is what no schema can say (which text is a picture), and what the gateway refuses by itself: an unknown
    method or a missing key, which this gateway answers in words of its own (local_aws/COVERAGE.md).
    """
    tool = ROOT / ".venv-clients" / "bin" / "schemathesis"
    if not tool.exists():
        pytest.fail("schemathesis is not installed: make .venv-clients/ready")
    options = {
        "--url": deployed.stack.api_url,  # it takes the description's own "." for the host's root
        "--header": f"x-api-key: {deployed.stack.api_key}",
        "--exclude-path": "/predictions/smoke-test",  # wants a signature
        "--phases": "examples,coverage,fuzzing",
        "--max-examples": "60",
        "--exclude-checks": "positive_data_acceptance,unsupported_method,ignored_auth",
        "--generation-with-security-parameters": "false",
    }
    command = [str(tool), "run", f"{deployed.stack.api_url}/openapi.json", "--generation-deterministic", "--no-color"]
    command += [one for option in options.items() for one in option]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    assert "Tested: 4" in done.stdout  # predictions, model, health and page; the description itself is left out


def test_the_endpoint_recovers_when_its_process_is_killed(deployed: Deployed) -> None:
    picture = deployed.test_pictures[0].read_bytes()
    serving = [process for process in marked(deployed.state) if process.cmdline()[1:3] == ["-m", "serving"]]
    serving[0].kill()
    statuses: list[int] = []
    deadline = time.monotonic() + 30
    while not statuses or statuses[-1] != 200:
        statuses.append(deployed.post(content=picture).status_code)
        assert time.monotonic() < deadline, statuses
        time.sleep(0.1)
    assert set(statuses) <= {200, 502, 503}
