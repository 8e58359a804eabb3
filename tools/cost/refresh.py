"""The table's instance prices anew, by AWS's Price List API (needs an account and `pricing:GetProducts`)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import date
from typing import Any

API_REGION = "us-east-1"  # where the API is; it tells the prices of all regions
_EC2 = {"operatingSystem": "Linux", "tenancy": "Shared", "preInstalledSw": "NA", "capacitystatus": "Used"}


def refreshed(table: dict[str, Any], client: Any, today: date, more: Iterable[str] = ()) -> dict[str, Any]:
    """`table` with the prices on demand of its instance types and of `more`, as `client` (boto3 `pricing`) tells them.

    A type of which it tells nothing stays as it was. SageMaker's price is the higher of training and hosting.
    """
    derived = dict(table["instance_hour_derived"])
    hours = dict(table["instance_hour"])
    for kind in sorted({*hours, *derived, *more}):
        found = list(_hours(client, kind, table["region"]))
        if found:
            hours[kind] = max(found)
            derived.pop(kind, None)
    rest = table.get("rest_as_of", table["as_of"])
    as_of = f"{today:%B %Y} (instances, by the Price List API; the rest {rest})"
    return {**table, "as_of": as_of, "rest_as_of": rest, "instance_hour": hours, "instance_hour_derived": derived}


def _hours(client: Any, kind: str, region: str) -> Iterator[float]:
    """Prices an hour of an instance type that are above zero: reserved capacity is told as costing nothing."""
    if kind.startswith("ml."):
        wanted = [("AmazonSageMaker", {"instanceName": kind, "component": part}) for part in ("Training", "Hosting")]
    else:
        wanted = [("AmazonEC2", {"instanceType": kind, **_EC2})]
    for service, fields in wanted:
        filters = [
            {"Type": "TERM_MATCH", "Field": field, "Value": value}
            for field, value in {**fields, "regionCode": region}.items()
        ]
        for page in client.get_paginator("get_products").paginate(ServiceCode=service, Filters=filters):
            for text in page["PriceList"]:
                for term in json.loads(text)["terms"].get("OnDemand", {}).values():
                    for dimension in term["priceDimensions"].values():
                        price = float(dimension["pricePerUnit"].get("USD", 0))
                        if price and dimension["unit"] in ("Hrs", "Hours", "Hour"):
                            yield price
