"""The HTTP side, a plain ASGI application: GET /ping and POST /invocations, as SageMaker calls them.

The event loop reads and writes; decoding and the model run in a pool with one thread for each core. What waits for the
pool is bounded: beyond `capacity`, requests are turned away at once, with Retry-After, rather than kept too long.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from serving.errors import Problem
from serving.model import Model, Outcome
from serving.request import ATTRIBUTES_HEADER, check_headers, parse_attributes, read_body

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]

LOG = logging.getLogger("serving")
BODY_SECONDS = 30.0  # SageMaker gives a request 60 seconds in all
METHODS = {"/ping": "GET", "/invocations": "POST"}


class App:
    """The server's state: the model once it is ready, the pool, the requests inside, whether it is stopping."""

    def __init__(self, threads: int, capacity: int) -> None:
        self.model: Model | None = None
        self.stopping = False
        self.inside = 0
        self.capacity = capacity
        self.pool = ThreadPoolExecutor(threads, thread_name_prefix="predict")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request. Every outcome, foreseen or not, is an answer and (but for good pings) a log line."""
        if scope["type"] != "http":
            raise RuntimeError(f"{scope['type']} is not spoken here")
        started = time.perf_counter()
        facts: dict[str, Any] = {"path": scope["path"], "method": scope["method"]}
        headers = {"content-type": "application/json"}
        try:
            status, body = 200, await self._route(scope, receive, facts)
        except ConnectionError:
            LOG.info("abandoned", extra={"facts": facts})
            return
        except Exception as error:
            problem = Problem.of(error)
            if problem.slug == "internal":
                LOG.exception("failed", extra={"facts": facts})
            status, body = problem.status, problem.body()
            headers = {"content-type": "application/problem+json", **problem.headers}
            facts["problem"] = problem.slug
        if self.stopping:
            headers["connection"] = "close"
        await _send(send, status, headers, body)
        if scope["path"] != "/ping" or status != 200:
            facts |= {"status": status, "ms": round((time.perf_counter() - started) * 1e3, 2)}
            LOG.info("answered", extra={"facts": facts})

    async def _route(self, scope: Scope, receive: Receive, facts: dict[str, Any]) -> bytes:
        method = METHODS.get(scope["path"])
        if method is None:
            raise Problem("not-found", "the paths are /ping and /invocations")
        if scope["method"] != method:
            raise Problem("method-not-allowed", f"{scope['path']} takes {method}", {"allow": method})
        if scope["path"] == "/ping":
            if self.stopping:
                raise Problem("not-ready", "the server is stopping")
            self._ready()
            return b"{}"
        return await self._invoke(self._ready(), scope, receive, facts)

    def _ready(self) -> Model:
        if self.model is None:
            raise Problem("not-ready", "the model is being loaded", {"retry-after": "1"})
        return self.model

    async def _invoke(self, model: Model, scope: Scope, receive: Receive, facts: dict[str, Any]) -> bytes:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        check_headers(headers)
        wanted = parse_attributes(headers.get(ATTRIBUTES_HEADER, ""), len(model.manifest.classes))
        if self.inside >= self.capacity:
            raise Problem("overloaded", f"{self.inside} requests are waiting", {"retry-after": "1"})
        self.inside += 1
        try:
            data = await read_body(receive, BODY_SECONDS)
            facts["bytes"] = len(data)
            outcome = await self._predict(model, data, facts)
        finally:
            self.inside -= 1
        return model.answer(outcome, wanted.top_k, wanted.logits)

    async def _predict(self, model: Model, data: bytes, facts: dict[str, Any]) -> Outcome:
        queued = time.perf_counter()

        def work() -> Outcome:
            facts["queue_ms"] = round((time.perf_counter() - queued) * 1e3, 2)
            return model.run(data)

        outcome = await asyncio.get_running_loop().run_in_executor(self.pool, work)
        facts |= {f"{stage}_ms": round(spent, 2) for stage, spent in outcome.timing_ms.items()}
        return outcome


async def _send(send: Send, status: int, headers: dict[str, str], body: bytes) -> None:
    fields = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    fields.append((b"content-length", b"%d" % len(body)))
    await send({"type": "http.response.start", "status": status, "headers": fields})
    await send({"type": "http.response.body", "body": body})
