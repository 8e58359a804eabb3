"""The API as an OpenAPI 3.1 document, made from what the code itself reads: `python -m kennel.openapi`.

Requests come from the field tables, errors from the table of problems; a test holds the routes to the template's.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from kennel import errors, requests
from kennel.fields import Field

Document = dict[str, Any]

KEY: Document = {"apiKey": []}
SIGNED: Document = {"sigv4": []}
TOKEN: Document = {"cognito": []}
# The stack's ApiAuth -> what a request has to bring. A deployment's own test is signed, whatever callers bring.
CALLERS = {"API_KEY": KEY, "AWS_IAM": SIGNED, "COGNITO": TOKEN}
_SCHEMES: Document = {
    "apiKey": {"type": "apiKey", "name": "x-api-key", "in": "header"},
    "cognito": {
        "type": "apiKey",
        "name": "Authorization",
        "in": "header",
        "description": "An identity token (a JWT) of the stack's user pool",
        "x-amazon-apigateway-authtype": "cognito_user_pools",
    },
    "sigv4": {
        "type": "apiKey",
        "name": "Authorization",
        "in": "header",
        "description": "AWS Signature Version 4; needs execute-api:Invoke",
        "x-amazon-apigateway-authtype": "awsSigv4",
    },
}
_TYPES = {int: "integer", float: "number", str: "string", bool: "boolean", dict: "object", list: "array"}
_TEXT: Document = {"type": "string"}
_NUMBER: Document = {"type": "number"}
_SHARE: Document = {"type": "number", "minimum": 0, "maximum": 1}
_WHOLE: Document = {"type": "integer", "minimum": 0}
_SIZES: dict[type, tuple[str, str]] = {str: ("minLength", "maxLength"), list: ("minItems", "maxItems")}
_PICTURES = ("image/jpeg", "image/png", "image/webp")
_WHITE = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGP4DwABAQEAsTj2FAAAAABJRU5ErkJggg=="  # a PNG
_EXAMPLES: Document = {
    "one": {"summary": "One picture", "value": {"image": _WHITE, "top_k": 3, "timing": True}},
    "several": {"summary": "Several pictures", "value": {"pictures": [{"image": _WHITE}, {"image": _WHITE}]}},
}
# What API Gateway answers by itself, before a function runs.
_GATEWAY = {
    401: "The token is missing, wrong or expired",
    403: "The API key or the signature is missing or wrong",
    429: "More requests than the API lets through",
    504: "No answer",
}
_GATEWAY_OF_BODIES = {413: "More than the API takes: a request with what is in it may have about 4.5 MB"}
# The container's own words, passed on.
_PASSED_ON = (
    errors.Problem(400, "unreadable-image", "The picture cannot be read"),
    errors.Problem(400, "not-explained", "This model gives no heat map"),
)
# What can go wrong where no picture is read and no model is asked.
_INTERNAL = errors.PROBLEMS[errors.InternalError]
_TELLING = (errors.PROBLEMS[errors.EndpointFailed], errors.PROBLEMS[errors.EndpointUnavailable], _INTERNAL)


def document(api_auth: str) -> Document:
    """The whole document; `api_auth` is the stack's ApiAuth."""
    callers = [CALLERS[api_auth]]
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Kennel predictions",
            "version": "1",
            "description": "A picture in, its likeliest classes out. Errors are problem documents (RFC 9457). "
            "Every answer carries `X-Request-Id`: quote it when asking for help. It is the request's own, "
            "where that has 1 to 64 letters, digits, `.`, `_` and `-`, and one of ours otherwise.",
        },
        # The document lies beside the routes.
        "servers": [{"url": "."}],
        "paths": {
            requests.PREDICTIONS_ROUTE: {"post": _prediction("createPrediction", callers)},
            requests.SMOKE_TEST_ROUTE: {"post": _prediction("smokeTest", [SIGNED])},
            "/model": {"get": _model(callers)},
            "/health": {"get": _open("getHealth", "Whether the API and its function live; the model is not asked")},
            "/openapi.json": {"get": _open("getOpenApi", "This document")},
            "/": {"get": _open("getPage", "A page for people to ask about pictures", "text/html")},
        },
        "components": {
            "schemas": _schemas(),
            "parameters": {
                "X-Request-Id": {
                    "name": "X-Request-Id",
                    "in": "header",
                    "description": "The caller's own id of the request",
                    "schema": _TEXT,
                }
            },
            "headers": {"X-Request-Id": {"description": "The request's id", "schema": {"type": "string"}}},
            "securitySchemes": {name: _SCHEMES[name] for one in (*callers, SIGNED) for name in one},
        },
    }


def _prediction(operation: str, security: list[Document]) -> Document:
    problems = [*errors.PROBLEMS.values(), *_PASSED_ON]
    return {
        "operationId": operation,
        "summary": "Classify one picture or several"
        if operation == "createPrediction"
        else "What a deployment asks to see whether the new model answers",
        "description": "The body is the picture's bytes, of whatever content type, or JSON that says where the picture "
        "or the pictures are, or a form in which every file is a picture, whatever its field is called. The kind of a "
        "picture is judged by its first bytes. An option is given in the query or in the JSON, not in both. Among "
        "several pictures, one that cannot be read has its problem for a result, and spoils no other.",
        "security": security,
        "parameters": [
            {"name": one.path, "in": "query", "description": one.doc, "schema": schema(one)}
            for one in requests.OPTION_FIELDS
        ]
        + [{"$ref": "#/components/parameters/X-Request-Id"}],
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {**_body("PredictionRequest"), "examples": _EXAMPLES},
                **{name: {} for name in _PICTURES},
                "multipart/form-data": {
                    **_body("PredictionForm"),
                    "encoding": {"picture": {"contentType": ", ".join(_PICTURES)}},
                },
            },
        },
        "responses": {
            "200": _answer("The form that `output` asks for", "application/json", "PredictionAnswer"),
            **_failures(problems, _GATEWAY | _GATEWAY_OF_BODIES),
        },
    }


def _model(security: list[Document]) -> Document:
    return {
        "operationId": "getModel",
        "summary": "What is serving: version, figures, classes",
        "description": "At most a minute old; with `Cache-Control: no-cache` in the request it is looked up anew.",
        "security": security,
        "responses": {"200": _answer("The model in service", "application/json", "Model"), **_failures(_TELLING)},
    }


def _open(operation: str, summary: str, media_type: str = "application/json") -> Document:
    """A route that needs no key."""
    answer = _answer(summary, media_type, "Health" if operation == "getHealth" else "")
    failed = {status: one for status, one in _failures((_INTERNAL,)).items() if status not in ("401", "403")}
    return {"operationId": operation, "summary": summary, "security": [], "responses": {"200": answer, **failed}}


def _failures(problems: Iterable[errors.Problem], gateway: Mapping[int, str] = _GATEWAY) -> Document:
    """Status -> answer, for `problems` and for what the gateway refuses by itself."""
    by_status: dict[int, list[errors.Problem]] = {status: [] for status in gateway}
    for problem in problems:
        by_status.setdefault(problem.status, []).append(problem)
    return {str(status): _failure(found, gateway.get(status)) for status, found in sorted(by_status.items())}


def _failure(problems: list[errors.Problem], by_gateway: str | None) -> Document:
    said = [f"{problem.title} (`{problem.slug}`)" for problem in problems]
    said += [by_gateway] if by_gateway else []
    answer = _answer("; ".join(said), "application/problem+json", "Problem")
    if by_gateway:  # whose problem documents go as plain JSON
        answer["content"]["application/json"] = _body("Problem")
    if any(problem.retry_after_seconds for problem in problems):
        answer["headers"]["Retry-After"] = {"description": "Seconds to wait", "schema": {"type": "integer"}}
    return answer


def _answer(description: str, media_type: str, name: str) -> Document:
    return {
        "description": description,
        "headers": {"X-Request-Id": {"$ref": "#/components/headers/X-Request-Id"}},
        "content": {media_type: _body(name) if name else {}},
    }


def _body(name: str) -> Document:
    return {"schema": {"$ref": f"#/components/schemas/{name}"}}


def schema(field: Field) -> Document:
    """What `field` takes, as JSON Schema."""
    names = _SIZES.get(field.kind, ("minimum", "maximum"))
    limits = zip(names, (field.minimum, field.maximum), strict=True)
    return {
        "type": _TYPES[field.kind],
        "description": field.doc,
        **{name: value for name, value in limits if value is not None},
        **({"enum": list(field.choices)} if field.choices else {}),
        **({"pattern": f"^(?:{field.pattern})$"} if field.pattern else {}),
        **({} if field.default is None else {"default": field.default}),
    }


def _object(required: str, optional: Mapping[str, Document] | None = None, **properties: Document) -> Document:
    """An object whose answers may grow: members that are not named here are not refused."""
    return {"type": "object", "required": required.split(), "properties": {**properties, **(optional or {})}}


def _schemas() -> Document:
    return {
        **_request_schemas(),
        **_answer_schemas(),
        "Model": _object(
            "model status classes metrics request_id",
            model={**_TEXT, "description": "the run that trained it; answers name it, too"},
            status={**_TEXT, "description": "the endpoint's: InService, or how it is changing while it serves"},
            classes={
                "type": ["array", "null"],
                "items": _TEXT,
                "description": "by their index in an answer; null where the run has left no report",
            },
            metrics={
                "type": ["object", "null"],
                "description": "by the evaluation, on its `split`; null where the run has left no report",
                "properties": {
                    "split": {"enum": ["test", "valid"]},
                    "pictures": _WHOLE,
                    "accuracy": _SHARE,
                    "top5": _SHARE,
                    "calibration_error": _SHARE,
                },
            },
            request_id=_TEXT,
            optional={"backbone": _TEXT, "precision": _TEXT},
        ),
        "Health": _object("status request_id", status={"const": "ok"}, request_id=_TEXT),
    }


def _request_schemas() -> Document:
    picture = {
        "type": "object",
        "properties": {field.path: schema(field) for field in requests.SOURCE_FIELDS},
        "additionalProperties": False,
        "minProperties": 1,
        "maxProperties": 1,
    }
    sources = (*requests.SOURCE_FIELDS, requests.PICTURES)
    properties = {field.path: schema(field) for field in requests.REQUEST_FIELDS}
    properties[requests.PICTURES.path]["items"] = {"$ref": "#/components/schemas/Picture"}
    limits = {"minItems": 1, "maxItems": requests.MOST_PICTURES}
    files = {"type": "array", **limits, "items": {"type": "string", "format": "binary"}}
    return {
        "Picture": picture,
        "PredictionRequest": {
            "type": "object",
            "properties": properties,
            "additionalProperties": False,
            "oneOf": [{"required": [field.path]} for field in sources],
            # What only one picture may have, and what goes only with the usual output.
            "allOf": [
                _never({"required": [requests.PICTURES.path]}, requests.EXPLAIN),
                _never(_given(requests.OUTPUT, "logits", "argmax"), requests.EXPLAIN),
                _never(_given(requests.OUTPUT, "logits", "argmax"), requests.TIMING),
            ],
        },
        "PredictionForm": {
            "type": "object",
            "properties": {"picture": files},
            "required": ["picture"],
            "additionalProperties": False,
        },
    }


def _given(field: Field, *values: object) -> Document:
    return {"properties": {field.path: {"enum": list(values)}}, "required": [field.path]}


def _never(what: Document, option: Field) -> Document:
    """Not `what` and `option`."""
    return {"not": {"allOf": [what, _given(option, True)]}}


def _answer_schemas() -> Document:
    prediction = _object("breed index probability", breed=_TEXT, index=_WHOLE, probability=_SHARE)
    timing = {
        "type": "object",
        "additionalProperties": {**_NUMBER, "minimum": 0},
        "description": "with `timing`: milliseconds by stage. `read`: the pictures; `endpoint`: the request to the "
        "model, with the container's `queue`, `decode`, `model` in it",
    }
    explanation = {
        **_object("breed index heat_map", breed=_TEXT, index=_WHOLE, heat_map={**_TEXT, "contentEncoding": "base64"}),
        "description": "with `explain`: the likeliest class, and a PNG in base64 to be laid over the square that the "
        "model sees, the picture's middle: clear where nothing speaks for the class, red where it is seen best",
    }
    says: Document = {
        "predictions": {"type": "array", "minItems": 1, "items": prediction, "description": "the likeliest first"},
        "confident": {
            "type": "boolean",
            "description": "false where the model is not sure, as with a picture of no class it knows",
        },
    }
    model = {"description": "the run that trained the model; null where no picture could be read"}
    results = [
        _object("predictions confident", {"timing_ms": timing}, **says),
        _object("problem", problem={"$ref": "#/components/schemas/PictureProblem"}),
    ]
    each = {"type": "array", "minItems": 1, "maxItems": requests.MOST_PICTURES}
    return {
        "Prediction": _object(
            "predictions confident model request_id",
            {"timing_ms": timing, "explanation": explanation},
            **says,
            model={**_TEXT, **model},
            request_id=_TEXT,
        ),
        "Predictions": _object(
            "results model request_id",
            {"timing_ms": timing},
            results={**each, "items": {"oneOf": results}, "description": "in the order of the pictures"},
            model={"type": ["string", "null"], **model},
            request_id=_TEXT,
        ),
        "PredictionAnswer": {
            "anyOf": [
                {"$ref": "#/components/schemas/Prediction"},
                {"$ref": "#/components/schemas/Predictions"},
                {**each, "title": "logits", "items": _or_null({"type": "array", "items": _NUMBER})},
                {**each, "title": "argmax", "items": _or_null(_WHOLE)},
            ]
        },
        "PictureProblem": _problem(),
        "Problem": _problem(request_id=_TEXT),
    }


def _or_null(one: Document) -> Document:
    return {"anyOf": [one, {"type": "null"}], "description": "null for a picture that cannot be read"}


def _problem(**more: Document) -> Document:
    return _object(
        " ".join(["type title detail", *more]),
        type={**_TEXT, "description": "`about:blank#SLUG`; the part behind # is for programs"},
        title=_TEXT,
        detail={**_TEXT, "description": "what is wrong, in a sentence"},
        optional={"status": {"type": "integer"}},
        **more,
    )


if __name__ == "__main__":
    print(json.dumps(document("API_KEY"), indent=2))
