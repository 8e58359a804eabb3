"""What every SageMaker resource here shares: ARNs, times, lists and tags."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from local_aws.errors import validation
from local_aws.settings import ACCOUNT_ID, REGION
from local_aws.store import Record, Store


def arn(kind: str, name: str) -> str:
    """The ARN of a SageMaker resource; kinds are AWS's (`training-job`, ...), names lower-cased as there."""
    return f"arn:aws:sagemaker:{REGION}:{ACCOUNT_ID}:{kind}/{name.lower()}"


def now() -> float:
    """The time as the JSON protocol carries it: seconds since the epoch, milliseconds kept."""
    return round(time.time(), 3)


def seconds(value: Any) -> float:
    """A timestamp of a request (epoch seconds or ISO text) as epoch seconds."""
    return datetime.fromisoformat(value).timestamp() if isinstance(value, str) else float(value)


def _kept(record: Record, request: dict[str, Any], name_key: str, status_key: str) -> bool:
    checks = [
        request.get("NameContains", "").lower() in record[name_key].lower(),
        request.get("StatusEquals") in (None, record.get(status_key)),
    ]
    for field, member in (("CreationTime", "CreationTime"), ("LastModifiedTime", "LastModifiedTime")):
        if f"{field}After" in request:
            checks.append(record.get(member, 0) > seconds(request[f"{field}After"]))
        if f"{field}Before" in request:
            checks.append(record.get(member, 0) < seconds(request[f"{field}Before"]))
    return all(checks)


def page(
    records: Iterable[Record], request: dict[str, Any], name_key: str, status_key: str, default_order: str
) -> tuple[list[Record], dict[str, str]]:
    """One page of a List operation: filtered, sorted as asked, and the token for the next page if there is one."""
    kept = [record for record in records if _kept(record, request, name_key, status_key)]
    sorts = {"Name": name_key, "Status": status_key, "FinalObjectiveMetricValue": "FinalObjectiveMetricValue"}
    sort_key = sorts.get(request.get("SortBy", ""), "CreationTime")
    kept.sort(key=lambda record: record[sort_key], reverse=request.get("SortOrder", default_order) == "Descending")
    try:
        start = int(base64.b64decode(request["NextToken"])) if request.get("NextToken") else 0
    except ValueError:
        raise validation("The NextToken is not valid.") from None
    size = int(request.get("MaxResults", 10))
    more = {"NextToken": base64.b64encode(str(start + size).encode()).decode()} if start + size < len(kept) else {}
    return kept[start : start + size], more


def chosen(record: Record, members: Iterable[str]) -> Record:
    """The members of `record` that are there and not None."""
    return {name: record[name] for name in members if record.get(name) is not None}


class Tags:
    """AddTags, ListTags, DeleteTags for anything with an ARN."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def put(self, resource_arn: str, tags: Iterable[dict[str, str]]) -> list[dict[str, str]]:
        """Adds or replaces tags and gives all of them. Call inside store.change()."""
        table = self.store.table("tags")
        record = table[resource_arn] = {**table.get(resource_arn, {}), **{tag["Key"]: tag["Value"] for tag in tags}}
        return [{"Key": key, "Value": value} for key, value in record.items()]

    def forget(self, resource_arn: str) -> None:
        """Drops the tags of a deleted resource. Call inside store.change()."""
        self.store.table("tags").pop(resource_arn, None)

    def add(self, request: dict[str, Any]) -> dict[str, Any]:
        """AddTags."""
        with self.store.change():
            return {"Tags": self.put(request["ResourceArn"], request["Tags"])}

    def list(self, request: dict[str, Any]) -> dict[str, Any]:
        """ListTags."""
        record = self.store.table("tags").get(request["ResourceArn"], {})
        return {"Tags": [{"Key": key, "Value": value} for key, value in record.items()]}

    def delete(self, request: dict[str, Any]) -> dict[str, Any]:
        """DeleteTags."""
        with self.store.change():
            table, name = self.store.table("tags"), request["ResourceArn"]
            if name in table:
                table[name] = {key: value for key, value in table[name].items() if key not in request["TagKeys"]}
        return {}
