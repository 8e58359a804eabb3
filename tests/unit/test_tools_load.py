"""tools.load: what is counted as sent, answered, lost and wrong; against a small API of its own."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tools.load import Load, Reply, Tally
from tools.stack import Stack

BEAGLE = (("Beagle", 0.9), ("Boxer", 0.1))
BOXER = (("Boxer", 0.6), ("Beagle", 0.4))


class Api(ThreadingHTTPServer):
    """Answers POST /predictions as `behaviour` says: one word a request, the last one for ever."""

    daemon_threads = True

    def __init__(self, behaviour: list[str]) -> None:
        self.behaviour, self.received, self.turn = behaviour, 0, threading.Lock()
        super().__init__(("127.0.0.1", 0), Handler)

    def next(self) -> str:
        with self.turn:
            self.received += 1
            return self.behaviour.pop(0) if len(self.behaviour) > 1 else self.behaviour[0]


class Handler(BaseHTTPRequestHandler):
    server: Api

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        what = self.server.next()
        if what == "hang up":
            self.close_connection = True
            return
        if what == "late":
            time.sleep(0.5)
        predictions = [{"breed": breed, "probability": sure} for breed, sure in BEAGLE]
        body = {"model": "one", "predictions": predictions} if what != "busy" else {"detail": "busy"}
        data = b"<html>" if what == "page" else json.dumps(body).encode()
        self.send_response(503 if what == "busy" else 200)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@contextmanager
def api(*behaviour: str) -> Iterator[tuple[Api, Stack]]:
    with Api(list(behaviour)) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{server.server_address[1]}"
        yield server, Stack("kennel", "us-east-1", url, url, "key", "data", "artifacts", "kennel", {})
        server.shutdown()
        thread.join()


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    # two folders with the same file name, as data sets have them
    paths = [tmp_path / folder / "1.jpg" for folder in ("Beagle", "Boxer")]
    for path in paths:
        path.parent.mkdir()
        path.write_bytes(b"picture")
    return paths


def loaded(stack: Stack, pictures: list[Path], requests: int, rate: float = 100) -> Tally:
    with Load(stack, pictures, rate) as load:
        while load.tally.sent < requests:
            time.sleep(0.001)
    return load.tally


def test_every_request_is_counted_once_with_what_became_of_it(pictures: list[Path]) -> None:
    # given an API that is busy once and hangs up once
    with api("ok", "busy", "hang up", "ok") as (server, stack):
        # when it is under load
        tally = loaded(stack, pictures, 12)
    # then no request is missing and none was tried again
    assert len(tally.replies) == tally.sent == server.received
    assert tally.statuses == {200: tally.sent - 2, 503: 1, 0: 1}
    assert tally.models == {"one": tally.sent - 2}
    assert tally.failed == 2
    assert {one.status: one.problem[:10] for one in tally.failures} == {503: '{"detail":', 0: "RemoteProt"}
    assert {one.picture for one in tally.replies} == {"Beagle/1.jpg", "Boxer/1.jpg"}


def test_late_answers_delay_no_other_request_and_are_waited_for_at_the_end(pictures: list[Path]) -> None:
    with api("late") as (server, stack):
        tally = loaded(stack, pictures, 10, rate=50)
    assert tally.failed == 0
    assert server.received == tally.sent
    # half a second each: one after the other they would have taken five
    assert max(one.due for one in tally.replies) < 5
    assert tally.latency_ms(0.5) >= 500


def test_an_answer_is_wrong_when_the_model_gives_another_one_alone(pictures: list[Path]) -> None:
    with api("ok") as (_, stack):
        tally = loaded(stack, pictures, 4)
    right = {("one", "Beagle/1.jpg"): BEAGLE, ("one", "Boxer/1.jpg"): (("Beagle", 0.9004), ("Boxer", 0.0996))}
    assert tally.wrong(right) == []
    other = {**right, ("one", "Boxer/1.jpg"): BOXER}
    assert {one.picture for one in tally.wrong(other)} == {"Boxer/1.jpg"}
    # a model that was never asked alone cannot vouch for anything
    assert len(tally.wrong({})) == tally.sent


def test_a_good_status_without_an_answer_in_it_is_wrong(pictures: list[Path]) -> None:
    with api("page") as (_, stack):
        tally = loaded(stack, pictures, 2)
    assert tally.failed == 0
    assert len(tally.wrong({("", ""): ()})) == tally.sent


def test_latency_is_the_time_within_which_that_share_was_answered() -> None:
    tally = Tally(replies=[Reply(0, seconds / 10, "a", 200) for seconds in range(1, 11)])
    assert [tally.latency_ms(share) for share in (0.5, 0.9, 1.0)] == [500, 900, 1000]
