"""The API's description against what it describes: the template's routes, the events, the functions' answers."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from kennel import endpoint, errors, openapi

from functions.classify import app as classify
from serving.errors import PROBLEMS as CONTAINER
from tests.contract import template
from tests.contract.test_events import REFUSED, REQUESTS, deployed, load, stack
from tests.unit.fakes import LambdaContext, Runtime

__all__ = ["deployed", "stack"]

DOCUMENT = openapi.document("API_KEY")
APIS = {
    auth: template.resolved({"ApiAuth": auth})["Resources"]["Api"]["Properties"]["DefinitionBody"]
    for auth in template.load()["Parameters"]["ApiAuth"]["AllowedValues"]
}


def checked(name: str, value: object) -> list[str]:
    """What the document's schema `name` has against `value`."""
    schema = {"$ref": f"#/components/schemas/{name}", "components": DOCUMENT["components"]}
    return [error.message for error in Draft202012Validator(schema).iter_errors(value)]


def operations(paths: dict[str, Any]) -> dict[tuple[str, str], Any]:
    return {(path, method): one for path, methods in paths.items() for method, one in methods.items()}


@pytest.mark.parametrize("api_auth", APIS)
def test_its_routes_and_who_may_use_them_are_the_templates(api_auth: str) -> None:
    document = openapi.document(api_auth)
    described = operations(document["paths"])
    routed = operations(APIS[api_auth]["paths"])

    assert described.keys() == routed.keys()
    for route, one in routed.items():
        wanted = (one["operationId"], one["security"])
        assert (described[route]["operationId"], described[route]["security"]) == wanted
    schemes = APIS[api_auth]["components"]["securitySchemes"]
    assert document["components"]["securitySchemes"].keys() == schemes.keys()


def test_it_says_nothing_that_is_not_there_and_every_schema_is_one() -> None:
    def references(value: Any) -> list[str]:
        inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        own = [value["$ref"]] if isinstance(value, dict) and "$ref" in value else []
        return own + [found for one in inside for found in references(one)]

    for reference in references(DOCUMENT):
        place: Any = DOCUMENT
        for part in reference.removeprefix("#/").split("/"):
            place = place[part]
    for schema in DOCUMENT["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
    assert json.loads(json.dumps(DOCUMENT)) == DOCUMENT


def test_every_problem_of_a_prediction_has_its_status_and_slug_there() -> None:
    responses = DOCUMENT["paths"]["/predictions"]["post"]["responses"]
    for problem in errors.PROBLEMS.values():
        answer = responses[str(problem.status)]
        assert problem.slug in answer["description"]
        assert ("Retry-After" in answer["headers"]) >= (problem.retry_after_seconds is not None)


def test_the_containers_problems_with_a_picture_are_there_by_its_own_words() -> None:
    responses = DOCUMENT["paths"]["/predictions"]["post"]["responses"]
    for slug, (status, title) in CONTAINER.items():
        if status in endpoint._ABOUT_THE_PICTURE and slug not in endpoint._ABOUT_US:
            assert f"(`{slug}`)" in responses[str(status)]["description"]
            assert status != 400 or title in responses[str(status)]["description"]


def _body(event: Any) -> Any:
    """The JSON that a request sends; None when it sends something else."""
    raw = event.get("body") or "" if "requestContext" in event else json.dumps(event)
    try:
        return json.loads(base64.b64decode(raw) if event.get("isBase64Encoded") else raw)
    except ValueError:
        return None


def _taken(name: str) -> bool:
    """Whether the form of the request is accepted, whatever then becomes of it."""
    return REFUSED.get(name, (0, "", ""))[1] not in ("invalid-field", "bad-request")


# Refused for what no schema of the body can say.
_BEYOND = {"bad_api_top_k_twice", "bad_s3_no_key", "bad_s3_not_an_s3_uri", "bad_image_not_base64"}
_DIRECT = {"direct_endpoint_and_request_dict", "bad_event_not_an_object", "bad_request_dict_not_json"}
_DIRECT |= {"bad_endpoint_name_of_another_stack", "bad_endpoint_name_without_request_dict"}
BODIES = {name: body for name in REQUESTS if name not in _BEYOND | _DIRECT and (body := _body(load(name))) is not None}


@pytest.mark.parametrize("name", BODIES)
def test_a_body_fits_the_description_exactly_when_its_form_is_taken(name: str) -> None:
    assert (checked("PredictionRequest", BODIES[name]) == []) == _taken(name)


def answered(event: Any) -> Any:
    answer: Any = classify.handler(event, LambdaContext())
    assert answer["statusCode"] == 200, answer["body"]
    return json.loads(answer["body"])


@pytest.mark.parametrize("name", openapi._EXAMPLES)
def test_an_example_of_the_description_is_taken_and_answered(stack: Runtime, name: str) -> None:
    example = openapi._EXAMPLES[name]["value"]
    assert checked("PredictionRequest", example) == []
    assert checked("PredictionAnswer", answered(example)) == []


@pytest.mark.parametrize("name", ["direct_image_base64", "api_binary_png_explain"])
def test_an_answer_about_one_picture_fits_the_description(stack: Runtime, name: str) -> None:
    assert checked("Prediction", answered(load(name))) == []


SPOILT = {"pictures": [load("direct_image_base64"), {"image": "%%%"}]}


@pytest.mark.parametrize("event", [SPOILT, SPOILT | {"timing": True}, {"pictures": SPOILT["pictures"][1:]}])
def test_an_answer_about_several_fits_the_description(stack: Runtime, event: dict[str, Any]) -> None:
    assert checked("Predictions", answered(event)) == []


@pytest.mark.parametrize(
    "event", [load("direct_image_logits"), load("direct_image_argmax"), SPOILT | {"output": "logits"}, SPOILT]
)
def test_every_answer_fits_the_description_of_all(stack: Runtime, event: dict[str, Any]) -> None:
    assert checked("PredictionAnswer", answered(event)) == []


@pytest.mark.parametrize("name", ["Prediction", "Predictions", "PredictionAnswer"])
def test_a_description_of_answers_refuses_what_is_none(name: str) -> None:
    for wrong in ({}, {"results": [{}], "model": "m", "request_id": "r"}, {"results": [], "model": "m"}, [], ["a"]):
        assert checked(name, wrong)


def test_a_refusal_fits_the_description(stack: Runtime) -> None:
    answer: Any = classify.handler(load("bad_no_source"), LambdaContext())
    assert checked("Problem", json.loads(answer["body"])) == []
