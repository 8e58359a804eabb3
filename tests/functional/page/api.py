"""The API on this machine without a stack: the functions themselves behind a small HTTP server that wants the key."""

from __future__ import annotations

import base64
import contextlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from functions.classify import app as classify
from functions.site import app as site
from tests.unit.fakes import REQUEST_ID, LambdaContext

STAGE, KEY = "/v1", "the-right-key"
OPEN = {"/", "/health", "/openapi.json"}


class _Gateway(BaseHTTPRequestHandler):
    """API Gateway as far as a page meets it."""

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def _answer(self) -> None:
        asked = urlsplit(self.path)
        route = asked.path.removeprefix(STAGE) or "/"
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if route not in OPEN and self.headers.get("x-api-key") != KEY:
            refused = {"type": "about:blank", "title": "Forbidden", "detail": "INVALID_API_KEY", "request_id": "1"}
            self._send(403, {"Content-Type": "application/json"}, json.dumps(refused).encode())
            return
        event = {
            "resource": route,
            "path": route,
            "httpMethod": self.command,
            "headers": dict(self.headers.items()),
            "queryStringParameters": dict(parse_qsl(asked.query)) or None,
            "requestContext": {"requestId": REQUEST_ID},
            "body": base64.b64encode(body).decode() or None,
            "isBase64Encoded": bool(body),
        }
        handler = classify.handler if route == "/predictions" else site.handler
        answer: Any = handler(event, LambdaContext())
        self._send(answer["statusCode"], answer["headers"], answer["body"].encode())

    def _send(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""


@contextlib.contextmanager
def serving() -> Iterator[str]:
    """The address of the page."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Gateway)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}{STAGE}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
