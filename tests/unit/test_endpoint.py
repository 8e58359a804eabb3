"""kennel.endpoint against SageMaker's wire: what tests/unit/fakes.py raises is what botocore raises."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import botocore.session
import pytest
from botocore.config import Config
from kennel import endpoint, images
from kennel.errors import RefusedByModel

from tests.unit.fakes import ENDPOINT, REQUEST_ID, png


class _RefusingEndpoint(BaseHTTPRequestHandler):
    """SageMaker's wire answer when the container says 400."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        refusal = {"type": "about:blank#unreadable-image", "title": "Unreadable", "status": 400, "detail": "truncated"}
        error = {
            "Message": "Received client error (400)",
            "OriginalStatusCode": 400,
            "OriginalMessage": json.dumps(refusal),
        }
        body = json.dumps(error).encode()
        self.send_response(424)
        self.send_header("x-amzn-ErrorType", "ModelError")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Silent."""


def test_a_real_client_raises_what_the_fake_raises() -> None:
    """The fake's errors are only worth something if botocore's look the same."""
    server = HTTPServer(("127.0.0.1", 0), _RefusingEndpoint)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    client = botocore.session.get_session().create_client(
        "sagemaker-runtime",
        region_name="us-east-1",
        endpoint_url=f"http://127.0.0.1:{server.server_port}",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(retries={"total_max_attempts": 1}),
    )
    try:
        with pytest.raises(RefusedByModel, match="truncated") as caught:
            endpoint.invoke(client, ENDPOINT, images.check(png(), 1000), endpoint.Options(REQUEST_ID))
    finally:
        server.shutdown()
        server.server_close()
    assert (caught.value.problem.status, caught.value.problem.slug) == (400, "unreadable-image")
