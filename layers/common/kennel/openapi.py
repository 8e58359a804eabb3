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
_TYPES = {int: "integer", float: "number", str: "string", bool: "boolean", dict: "object"}
_PICTURES = ("image/jpeg", "image/png", "image/webp")
# What API Gateway answers by itself, before a function runs.
_GATEWAY = {403: "The API key is missing or wrong", 429: "More requests than the API lets through", 504: "No answer"}
# What can go wrong where no picture is read and no model is asked.
_TELLING = (errors.EndpointFailed, errors.EndpointUnavailable, errors.InternalError)


def document(api_auth: str) -> Document:
    """The whole document; `api_auth` is the stack's ApiAuth, API_KEY or AWS_IAM."""
    callers = [KEY if api_auth == "API_KEY" else SIGNED]
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Kennel predictions",
            "version": "1",
            "description": "A picture in, its likeliest classes out. Errors are problem documents (RFC 9457). "
            "Every answer carries `X-Request-Id`: quote it when asking for help.",
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
            "headers": {"X-Request-Id": {"description": "The request's id", "schema": {"type": "string"}}},
            "securitySchemes": {
                **({"apiKey": {"type": "apiKey", "name": "x-api-key", "in": "header"}} if KEY in callers else {}),
                "sigv4": {
                    "type": "apiKey",
                    "name": "Authorization",
                    "in": "header",
                    "description": "AWS Signature Version 4; needs execute-api:Invoke",
                    "x-amazon-apigateway-authtype": "awsSigv4",
                },
            },
        },
    }


def _prediction(operation: str, security: list[Document]) -> Document:
    return {
        "operationId": operation,
        "summary": "Classify one picture"
        if operation == "createPrediction"
        else "What a deployment asks to see whether the new model answers",
        "description": "The body is the picture's bytes, of whatever content type, or JSON that says where the picture "
        "is. The kind of a picture is judged by its first bytes. An option is given in the query or in the JSON, "
        "not in both.",
        "security": security,
        "parameters": [
            {"name": one.path, "in": "query", "description": one.doc, "schema": schema(one)}
            for one in (requests.TOP_K, requests.OUTPUT)
        ],
        "requestBody": {
            "required": True,
            "content": {"application/json": _body("PredictionRequest"), **{name: {} for name in _PICTURES}},
        },
        "responses": {
            "200": _answer("The form that `output` asks for", "application/json", "PredictionAnswer"),
            **_failures(errors.PROBLEMS),
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
    failed = {status: one for status, one in _failures((errors.InternalError,)).items() if status != "403"}
    return {"operationId": operation, "summary": summary, "security": [], "responses": {"200": answer, **failed}}


def _failures(kinds: Iterable[type[errors.RequestError]]) -> Document:
    """Status -> answer, for the problems of `kinds` and for what the gateway refuses by itself."""
    by_status: dict[int, list[errors.Problem]] = {}
    for kind in kinds:
        by_status.setdefault(errors.PROBLEMS[kind].status, []).append(errors.PROBLEMS[kind])
    return {str(status): _failure(status, by_status.get(status, [])) for status in sorted({*by_status, *_GATEWAY})}


def _failure(status: int, problems: list[errors.Problem]) -> Document:
    said = [f"{problem.title} (`{problem.slug}`)" for problem in problems]
    said += [_GATEWAY[status]] if status in _GATEWAY else []
    answer = _answer("; ".join(said), "application/problem+json", "Problem")
    if status in _GATEWAY:  # whose problem documents go as plain JSON
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
    size = ("minLength", "maxLength") if field.kind is str else ("minimum", "maximum")
    limits = zip(size, (field.minimum, field.maximum), strict=True)
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
    text, number = {"type": "string"}, {"type": "number"}
    share = {**number, "minimum": 0, "maximum": 1}
    whole = {"type": "integer", "minimum": 0}
    prediction = _object("breed index probability", breed=text, index=whole, probability=share)
    answer = _object(
        "predictions confident model request_id",
        predictions={"type": "array", "minItems": 1, "items": prediction, "description": "the likeliest first"},
        confident={
            "type": "boolean",
            "description": "false where the model is not sure, as with a picture of no class it knows",
        },
        model={**text, "description": "the run that trained the model"},
        request_id=text,
    )
    logits = {"type": "array", "minItems": 1, "maxItems": 1, "items": {"type": "array", "items": number}}
    argmax = {"type": "array", "minItems": 1, "maxItems": 1, "items": whole}
    return {
        "PredictionRequest": {
            "type": "object",
            "properties": {field.path: schema(field) for field in requests.REQUEST_FIELDS},
            "additionalProperties": False,
            "oneOf": [{"required": [field.path]} for field in requests.SOURCE_FIELDS],
        },
        "Prediction": answer,
        "PredictionAnswer": {
            "anyOf": [
                {"$ref": "#/components/schemas/Prediction"},
                {**logits, "title": "logits"},
                {**argmax, "title": "argmax"},
            ]
        },
        "Model": _object(
            "model status classes metrics request_id",
            model={**text, "description": "the run that trained it; answers name it, too"},
            status={**text, "description": "the endpoint's: InService, or how it is changing while it serves"},
            classes={
                "type": ["array", "null"],
                "items": text,
                "description": "by their index in an answer; null where the run has left no report",
            },
            metrics={
                "type": ["object", "null"],
                "description": "by the evaluation, on its `split`; null where the run has left no report",
                "properties": {
                    "split": {"enum": ["test", "valid"]},
                    "pictures": whole,
                    "accuracy": share,
                    "top5": share,
                    "calibration_error": share,
                },
            },
            request_id=text,
            optional={"backbone": text, "precision": text},
        ),
        "Health": _object("status request_id", status={"const": "ok"}, request_id=text),
        "Problem": _object(
            "type title detail request_id",
            type={**text, "description": "`about:blank#SLUG`; the part behind # is for programs"},
            title=text,
            detail={**text, "description": "what is wrong, in a sentence"},
            request_id=text,
            optional={"status": {"type": "integer"}},
        ),
    }


if __name__ == "__main__":
    print(json.dumps(document("API_KEY"), indent=2))
