"""The instance metadata service of one instance (IMDSv2, and version 1 where the instance allows it), on loopback.

AWS has it on a link-local address of the instance's own network. Here the instances share one network, so each has its
own port, and AWS_EC2_METADATA_SERVICE_ENDPOINT in the instance's environment names it.
"""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SESSION_PATH = "/latest/api/token"
SHUTDOWN_PATH = "/local-aws/shutdown"  # for the `shutdown` command of the instance (ec2_shutdown.py), not AWS's
TTL_HEADER = "X-aws-ec2-metadata-token-ttl-seconds"
SESSION_HEADER = "X-aws-ec2-metadata-token"
MAX_TTL_SECONDS = 21_600
_MAX_BODY = 64

Tree = dict[str, Any]


def look_up(tree: Tree, path: str) -> str | None:
    """What the service answers for `path` below /latest/: a leaf's text, a folder's names by line, or None (404).

    A leaf may be a function (called at each look-up); one that gives None is not there.
    """
    node: Any = tree
    for step in [step for step in path.split("/") if step]:
        node = node.get(step) if isinstance(node, dict) else None
    if callable(node):
        node = node()
    if isinstance(node, dict):
        # Names of folders end with a slash, as on AWS, so that a walker knows where to go on.
        return "\n".join(f"{name}/" if isinstance(node[name], dict) else name for name in sorted(node))
    return None if node is None else str(node)


class Metadata(ThreadingHTTPServer):
    """Serves `tree` (the paths below /latest/) until `close`. `on_shutdown` hears the minutes, or None to cancel."""

    daemon_threads = True
    block_on_close = False

    def __init__(
        self, tree: Tree, options: dict[str, str], on_shutdown: Callable[[float | None], None], port: int = 0
    ) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.tree = tree
        self.options = options
        self.on_shutdown = on_shutdown
        self._tokens: dict[str, float] = {}
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self.serve_forever, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """http://127.0.0.1:PORT/"""
        return f"http://127.0.0.1:{self.server_port}/"

    def close(self) -> None:
        """Stops answering and gives the port back."""
        self.shutdown()
        self.server_close()
        self._thread.join()

    def new_token(self, ttl_seconds: int) -> str:
        """A session token that is good for `ttl_seconds`."""
        token = secrets.token_urlsafe(40)
        now = time.monotonic()
        with self._lock:
            self._tokens = {known: end for known, end in self._tokens.items() if end > now}
            self._tokens[token] = now + ttl_seconds
        return token

    def admits(self, token: str | None) -> bool:
        """Whether a request with this token (None: without one) is answered."""
        if token is None:
            return self.options["HttpTokens"] == "optional"
        return self._tokens.get(token, 0.0) > time.monotonic()


class _Handler(BaseHTTPRequestHandler):
    server: Metadata
    server_version = "EC2ws"
    sys_version = ""
    protocol_version = "HTTP/1.1"
    timeout = 10.0

    def do_PUT(self) -> None:
        if self.path.rstrip("/") != SESSION_PATH:
            self._say(405, "Method Not Allowed")
            return
        ttl = self.headers.get(TTL_HEADER, "")
        self._skip_body()
        if self.server.options["HttpEndpoint"] == "disabled" or "X-Forwarded-For" in self.headers:
            self._say(403, "Forbidden")
        elif not ttl.isdigit() or not 1 <= int(ttl) <= MAX_TTL_SECONDS:
            self._say(400, "Bad Request")
        else:
            self._say(200, self.server.new_token(int(ttl)), **{TTL_HEADER: ttl})

    def do_GET(self) -> None:
        if self.server.options["HttpEndpoint"] == "disabled":
            self._say(403, "Forbidden")
        elif not self.server.admits(self.headers.get(SESSION_HEADER)):
            self._say(401, "Unauthorized")
        else:
            version, _, path = self.path.partition("?")[0].lstrip("/").partition("/")
            found = look_up(self.server.tree, path) if version == "latest" else None
            self._say(404 if found is None else 200, "Not Found" if found is None else found)

    def do_POST(self) -> None:
        body = self.rfile.read(min(int(self.headers.get("Content-Length") or 0), _MAX_BODY))
        if self.path != SHUTDOWN_PATH:
            self._say(405, "Method Not Allowed")
            return
        self.server.on_shutdown(json.loads(body))
        self._say(200, "")

    def _skip_body(self) -> None:
        self.rfile.read(min(int(self.headers.get("Content-Length") or 0), _MAX_BODY))

    def _say(self, status: int, text: str, **headers: str) -> None:
        body = text.encode()
        self.send_response(status)
        for name, value in {"Content-Type": "text/plain", "Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing: every credentials refresh would be a line."""
