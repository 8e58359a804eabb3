"""The HTTP side, a plain ASGI application, as SageMaker calls it: /ping, /execution-parameters, /invocations."""

import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

from serving.errors import Problem
from serving.invocations import Invocations, to_json
from serving.model import Model
from serving.preprocess import MAX_BYTES
from serving.settings import Settings

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]

LOG = logging.getLogger("serving")
METHODS = {"/ping": "GET", "/execution-parameters": "GET", "/invocations": "POST"}


class App:
    """The server's state: what answers once the model is ready, and whether it is stopping."""

    def __init__(self, settings: Settings) -> None:
        self.stopping = False
        self.invocations: Invocations | None = None
        self._settings = settings

    def start(self, model: Model) -> None:
        """From now on there are answers; on the event loop."""
        self.invocations = Invocations(model, self._settings)

    def stop(self) -> None:
        """Ends the threads that predict, after what is inside."""
        if self.invocations is not None:
            self.invocations.stop()

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
            status, body = problem.status, to_json(problem.document())
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
            raise Problem("not-found", f"the paths are {', '.join(METHODS)}")
        if scope["method"] != method:
            raise Problem("method-not-allowed", f"{scope['path']} takes {method}", {"allow": method})
        if scope["path"] == "/execution-parameters":
            return self._execution_parameters()
        if scope["path"] == "/ping" and self.stopping:
            raise Problem("not-ready", "the server is stopping")
        if self.invocations is None:
            raise Problem("not-ready", "the model is being loaded", {"retry-after": "1"})
        if scope["path"] == "/ping":
            return b"{}"
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        return await self.invocations.answer(headers, receive, facts)

    def _execution_parameters(self) -> bytes:
        """How a batch transform should ask: so many at a time that no core waits for the next picture."""
        return to_json(
            {
                # SageMaker holds no more than 100 MB of payloads at a time.
                "MaxConcurrentTransforms": min(2 * self._settings.threads, 16),
                "BatchStrategy": "SINGLE_RECORD",
                "MaxPayloadInMB": MAX_BYTES // 1024**2,
            }
        )


async def _send(send: Send, status: int, headers: dict[str, str], body: bytes) -> None:
    fields = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    fields.append((b"content-length", b"%d" % len(body)))
    await send({"type": "http.response.start", "status": status, "headers": fields})
    await send({"type": "http.response.body", "body": body})
