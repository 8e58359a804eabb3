"""Saved queries of CloudWatch Logs Insights, which MiniStack lacks: their operations and their resource."""

from __future__ import annotations

import json
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

from local_aws import validation
from local_aws.errors import ApiError, Response, error_response, json_response
from local_aws.models import service_model
from local_aws.store import Record, Store

Handler = Callable[..., Awaitable[Response]]
OPERATIONS = ("PutQueryDefinition", "DescribeQueryDefinitions", "DeleteQueryDefinition")
_FIELDS = {"Name": "name", "QueryString": "queryString", "LogGroupNames": "logGroupNames"}


class QueryDefinitions:
    """The saved queries, by their ids."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def put(self, request: Record) -> Record:
        """PutQueryDefinition: a new one, or what one is from now on."""
        known = self.store.table("queries")
        name = request.get("queryDefinitionId") or str(uuid.uuid4())
        if request.get("queryDefinitionId") and name not in known:
            raise ApiError("ResourceNotFoundException", f"The query definition {name} does not exist.")
        with self.store.change():
            known[name] = {**{key: value for key, value in request.items() if value}, "queryDefinitionId": name}
        return {"queryDefinitionId": name}

    def describe(self, request: Record) -> Record:
        """DescribeQueryDefinitions, by the beginning of their names."""
        found = self.store.table("queries").values()
        begin = request.get("queryDefinitionNamePrefix") or ""
        return {"queryDefinitions": [one for one in found if one["name"].startswith(begin)]}

    def delete(self, request: Record) -> Record:
        """DeleteQueryDefinition."""
        if request["queryDefinitionId"] not in self.store.table("queries"):
            message = f"The query definition {request['queryDefinitionId']} does not exist."
            raise ApiError("ResourceNotFoundException", message)
        with self.store.change():
            del self.store.table("queries")[request["queryDefinitionId"]]
        return {"success": True}

    def answer(self, operation: str, request: Record) -> Record:
        """One of OPERATIONS, its request checked. Raises ApiError."""
        validation.check(service_model("logs", OPERATIONS).operation_model(operation), request)
        return {
            "PutQueryDefinition": self.put,
            "DescribeQueryDefinitions": self.describe,
            "DeleteQueryDefinition": self.delete,
        }[operation](request)

    def handler(self, original: Handler) -> Handler:
        """MiniStack's handler of CloudWatch Logs with these operations."""

        async def handle(method: str, path: str, headers: Any, body: bytes, query_params: Any) -> Response:
            operation = headers.get("x-amz-target", "").rpartition(".")[2]
            if operation not in OPERATIONS:
                return await original(method, path, headers, body, query_params)
            try:
                return json_response(self.answer(operation, json.loads(body or b"{}")))
            except ApiError as error:
                return error_response(error)

        return handle

    def provisioner(self) -> dict[str, Callable[..., Any]]:
        """AWS::Logs::QueryDefinition: Ref and QueryDefinitionId are its id."""

        def put(props: Record, **known: str) -> tuple[str, Record]:
            request = {name: props[key] for key, name in _FIELDS.items() if key in props}
            try:
                made = str(self.answer("PutQueryDefinition", {**request, **known})["queryDefinitionId"])
            except ApiError as error:
                raise ValueError(f"AWS::Logs::QueryDefinition failed: {error.message}") from error
            return made, {"QueryDefinitionId": made}

        def create(logical_id: str, props: Record, stack_name: str) -> tuple[str, Record]:
            return put(props)

        def update(physical_id: str, old_props: Record, new_props: Record, stack_name: str) -> tuple[str, Record]:
            return put(new_props, queryDefinitionId=physical_id)

        def delete(physical_id: str, props: Record) -> None:
            if physical_id in self.store.table("queries"):
                self.delete({"queryDefinitionId": physical_id})

        return {"create": create, "update": update, "delete": delete}
