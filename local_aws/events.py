"""Events that AWS's services put on the default EventBridge bus, on MiniStack's."""

from __future__ import annotations

import json
import logging
import threading
from typing import Any

from ministack import app

logger = logging.getLogger("local_aws.events")


def publish(source: str, detail_type: str, detail: dict[str, Any], resource_arn: str) -> None:
    """Puts one event of an AWS service (`source` is its "aws.*" name) on the bus, without waiting for its targets.

    Delivery is AWS's best effort here, too: a failure is logged and is not the caller's.
    """
    entry = {"Source": source, "DetailType": detail_type, "Detail": json.dumps(detail), "Resources": [resource_arn]}
    threading.Thread(target=_put, args=(entry,), daemon=True).start()


def _put(entry: dict[str, Any]) -> None:
    try:
        app._get_module("eventbridge")._put_events({"Entries": [entry]}, allow_aws_source=True)
    except Exception:
        logger.exception("the event %s could not be published", entry["DetailType"])
