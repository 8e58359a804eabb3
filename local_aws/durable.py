"""What a service has answered for is on disk before the answer: a SIGKILL loses nothing that was acknowledged.

MiniStack saves a service's tables as a whole, when the process ends. Here each change of one is followed by that, which
is cheap where the tables are small: objects, log lines, metrics, executions and SageMaker's records are written one by
one, where they change (objects.py, logs.py, metrics.py, stepfunctions/kept.py, store.py). What CloudFormation makes is
saved before anybody is told that a stack is complete; what else happens by itself, as a build, within seconds.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from local_aws.errors import Response
from local_aws.iam.wire import Call, operation

logger = logging.getLogger("local_aws")

Handler = Callable[..., Awaitable[Response]]
# Those that write their own records, or change nothing.
APART = {"sagemaker", "application-autoscaling", "sts"}
_READS = ("BatchGet", "Describe", "Filter", "Get", "Head", "List", "Lookup", "Search", "Simulate", "Test", "Validate")
# Written one by one, or passed on and not kept.
_WRITTEN = {"PutLogEvents", "PutMetricData", "StartExecution", "StartSyncExecution", "StopExecution", "PutEvents"}
_TRIES = 3

_saving = threading.Lock()
_written: dict[str, int] = {}  # a table and the hash of what was written of it
_stacks_change = threading.Event()


def guarded(service: str, handler: Handler) -> Handler:
    """`handler`, which answers for a change when it is saved."""
    if service in APART:
        return handler

    async def kept(method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any]) -> Response:
        call = Call(service, method, path, headers, body, query)
        answer = await handler(method, path, headers, body, query)
        if service == "cloudformation":
            _settle(changing=_changes(call), told=answer[2])
        elif answer[0] < 400 and _changes(call):
            save(states_of(service))
        return answer

    return kept


def _settle(*, changing: bool, told: bytes | str) -> None:
    """Saves everything before an answer that tells of no stack in progress any more, once after a change of stacks."""
    from ministack import app  # noqa: PLC0415 - MiniStack reads its environment when it is imported

    if changing:
        _stacks_change.set()
    elif _stacks_change.is_set() and "_IN_PROGRESS" not in str(told):
        _stacks_change.clear()
        save(app._build_persistence_save_dict())


def _changes(call: Call) -> bool:
    """Whether the call may have changed what its service keeps in tables."""
    if call.method in ("GET", "HEAD", "OPTIONS"):
        return False
    if call.service == "s3":  # objects are files
        return "/" not in call.path.strip("/") and call.method != "POST"
    if call.service == "lambda":
        return not call.path.endswith("/invocations")
    name = operation(call)[0] or ""
    return not name.startswith(_READS) and name not in _WRITTEN


def states_of(service: str) -> dict[str, Callable[[], Any]]:
    """How the tables of a service, as its endpoint is called, are read, by the name they are saved under."""
    from ministack import app  # noqa: PLC0415 - MiniStack reads its environment when it is imported

    registered = app.SERVICE_REGISTRY.get(service, {})
    modules = {registered.get("module", ""), *registered.get("sub_modules", ())}
    return {
        key: sys.modules[f"ministack.services.{module}"].get_state
        for key, module in app._state_map.items()
        if module in modules and hasattr(sys.modules.get(f"ministack.services.{module}"), "get_state")
    }


def save(states: dict[str, Callable[[], Any]]) -> None:
    """Writes the tables. Any thread; a table that changes while it is read is read again."""
    for key, get in states.items():
        for attempt in range(_TRIES):
            try:
                state = get()
                break
            except RuntimeError:  # it changed size
                if attempt == _TRIES - 1:
                    logger.exception("%s was not saved", key)
        else:
            continue
        if state is not None:
            with _saving:
                _write(key, state)


def _write(key: str, state: Any) -> None:
    """As MiniStack does, but encoded at one go, by C, and only what differs from what is on disk."""
    from ministack.core import persistence  # noqa: PLC0415

    whole = {"__ministack_format__": persistence._state_format_version(key), "payload": state}
    try:
        text = json.dumps(whole, default=persistence._json_default)
        if _written.get(key) == hash(text):
            return
        path = Path(persistence.STATE_DIR) / f"{key}.json"
        fresh = path.with_suffix(".tmp")
        fresh.write_text(text)
        fresh.replace(path)
        _written[key] = hash(text)
    except (OSError, TypeError):
        logger.exception("%s was not saved", key)
