"""The serving container's contract, asked of the real server process."""

import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from serving.manifest import read_manifest
from serving.model import Model
from serving.preprocess import MAX_BYTES
from tests.bad_pictures import encode, jpeg_of_size, png_of_size, scenery, sixteen_bit_rgb_png, turned, webp_of_size
from tests.tiny_model import COLOURS, expected_logits, write_model_directory
from tests.unit.serving_process import ServerProcess, running

RED = encode(Image.new("RGB", (40, 40), "red"), "PNG")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    folder = tmp_path_factory.mktemp("serving")
    with running(write_model_directory(folder / "model", version="colours-7"), folder / "log") as process:
        yield process


class TestAnswers:
    def test_ping_is_well_once_the_model_is_warm(self, server: ServerProcess) -> None:
        assert server.ask("GET", "/ping").status == 200

    def test_the_five_likeliest_classes_by_default(self, server: ServerProcess) -> None:
        reply = server.classify(RED)
        assert reply.status == 200
        assert reply.headers["content-type"] == "application/json"
        assert set(reply.json) == {"predictions", "confident", "model"}
        assert reply.json["model"] == "colours-7"
        assert reply.json["confident"] is True
        assert len(reply.json["predictions"]) == 5
        first = reply.json["predictions"][0]
        assert (first["breed"], first["index"]) == ("Red", 0)
        probabilities = [entry["probability"] for entry in reply.json["predictions"]]
        assert probabilities == sorted(probabilities, reverse=True)

    def test_probabilities_are_the_softmax_of_the_logits(self, server: ServerProcess) -> None:
        reply = server.classify(RED, "top_k=8,logits=1")
        logits = np.array(reply.json["logits"])
        np.testing.assert_allclose(logits, expected_logits((255, 0, 0)), atol=1e-4)
        powers = np.exp(logits) / np.exp(logits).sum()
        for entry in reply.json["predictions"]:
            assert entry["probability"] == pytest.approx(powers[entry["index"]], abs=1e-5)
        assert sum(entry["probability"] for entry in reply.json["predictions"]) == pytest.approx(1, abs=1e-5)

    def test_between_two_classes_it_says_that_it_is_not_confident(self, server: ServerProcess) -> None:
        reply = server.classify(encode(Image.new("RGB", (40, 40), (128, 128, 128)), "PNG"))
        assert reply.json["confident"] is False

    def test_far_from_every_class_it_says_that_it_is_not_confident(self, tmp_path: Path) -> None:
        # given a model that takes any probability, but no largest logit lower than this
        folder = write_model_directory(tmp_path / "model", threshold=0.0, logit_threshold=-2.0)
        model = Model(read_manifest(folder), threads=1)

        outcomes = [
            model.run(encode(Image.new("RGB", (40, 40), rgb), "PNG")) for rgb in ((255, 40, 0), (128, 128, 128))
        ]

        assert [outcome.logits.max() for outcome in outcomes] == pytest.approx([-0.2, -6.0], abs=0.1)
        assert [json.loads(model.answer(outcome, 1, False))["confident"] for outcome in outcomes] == [True, False]

    @pytest.mark.parametrize(
        ("attributes", "count"), [("", 5), ("top_k=1", 1), (" top_k = 8 ", 8), ("top_k=133", 8), ("logits=0", 5)]
    )
    def test_top_k(self, server: ServerProcess, attributes: str, count: int) -> None:
        reply = server.classify(RED, attributes)
        assert len(reply.json["predictions"]) == count
        assert "logits" not in reply.json

    @pytest.mark.parametrize(
        "attributes",
        [
            "top_k=0",
            "top_k=1001",
            "top_k=",
            "top_k=-1",
            "top_k=1.5",
            "top_k=²",
            "logits=2",
            "colour=red",
            "top_k=1,top_k=2",
            "top_k",
        ],
    )
    def test_attributes_that_make_no_sense(self, server: ServerProcess, attributes: str) -> None:
        reply = server.classify(RED, attributes)
        assert (reply.status, reply.json["type"]) == (400, "about:blank#bad-attributes")

    @pytest.mark.parametrize(
        "content_type", ["image/jpeg", "image/png", "image/webp", "application/octet-stream", "image/gif"]
    )
    def test_the_bytes_say_what_the_picture_is_not_the_content_type(
        self, server: ServerProcess, content_type: str
    ) -> None:
        assert server.classify(RED, content_type=content_type).json["predictions"][0]["breed"] == "Red"

    @pytest.mark.parametrize(
        ("data", "breed"),
        [
            (encode(Image.new("RGB", (300, 200), "blue"), "JPEG"), "Blue"),
            (encode(Image.new("RGB", (300, 200), "blue"), "WEBP"), "Blue"),
            (encode(Image.new("CMYK", (64, 64), (0, 0, 255, 0)), "JPEG"), "Yellow"),
            (encode(Image.new("RGBA", (64, 64), (255, 0, 0, 0)), "PNG"), "White"),
            (encode(Image.new("L", (64, 64), 0), "JPEG"), "Black"),
            (sixteen_bit_rgb_png((0, 255, 255)), "Cyan"),
            (encode(Image.fromarray(np.full((9, 9), 65535, dtype=np.uint16)), "PNG"), "White"),
            (encode(Image.new("RGB", (1, 1), "magenta"), "PNG"), "Magenta"),
            (turned(Image.new("RGB", (40, 60), "green"), 6), "Green"),
            (
                encode(
                    Image.new("RGB", (32, 32), "red"), "PNG", save_all=True, append_images=[Image.new("RGB", (32, 32))]
                ),
                "Red",
            ),
            (RED + b"PK\x03\x04 and a zip behind it", "Red"),
        ],
        ids=["jpeg", "webp", "cmyk", "clear", "grey", "rgb16", "grey16", "1x1", "turned", "animated", "polyglot"],
    )
    def test_every_kind_of_picture(self, server: ServerProcess, data: bytes, breed: str) -> None:
        assert server.classify(data, "top_k=1").json["predictions"][0]["breed"] == breed


class TestProblems:
    @pytest.mark.parametrize(
        ("data", "content_type", "status", "slug"),
        [
            (b"", "image/jpeg", 400, "unreadable-image"),
            (encode(scenery(), "JPEG")[:-40], "image/jpeg", 400, "unreadable-image"),
            (encode(scenery(), "PNG")[:-4], "image/png", 400, "unreadable-image"),
            (encode(scenery(), "WEBP")[:-40], "image/webp", 400, "unreadable-image"),
            (png_of_size(400, 300), "image/png", 400, "unreadable-image"),
            (jpeg_of_size(20_000, 20_000), "image/jpeg", 413, "image-too-large"),
            (png_of_size(20_000, 20_000), "image/png", 413, "image-too-large"),
            (webp_of_size(16_000, 16_000), "image/webp", 413, "image-too-large"),
            (bytes(MAX_BYTES + 1), "image/jpeg", 413, "image-too-large"),
            (encode(scenery(), "GIF"), "image/jpeg", 415, "unsupported-media-type"),
            (b"just text", "image/png", 415, "unsupported-media-type"),
            (RED, "application/json", 415, "unsupported-media-type"),
            (RED, "text/plain; charset=utf-8", 415, "unsupported-media-type"),
        ],
    )
    def test_bad_pictures(self, server: ServerProcess, data: bytes, content_type: str, status: int, slug: str) -> None:
        reply = server.classify(data, content_type=content_type)
        assert reply.status == status
        assert reply.headers["content-type"] == "application/problem+json"
        assert set(reply.json) == {"type", "title", "status", "detail"}
        assert (reply.json["type"], reply.json["status"]) == (f"about:blank#{slug}", status)

    def test_a_body_without_a_length_is_cut_off_at_the_cap(self, server: ServerProcess) -> None:
        connection = server.connect()
        chunks = (bytes(1024 * 1024) for _ in range(7))
        connection.request("POST", "/invocations", chunks, {"Content-Type": "image/png"}, encode_chunked=True)
        response = connection.getresponse()
        assert response.status == 413
        response.read()
        # and the connection is as good as before
        connection.request("POST", "/invocations", RED)
        assert connection.getresponse().status == 200
        connection.close()

    def test_other_paths_and_methods(self, server: ServerProcess) -> None:
        assert server.ask("GET", "/").json["type"] == "about:blank#not-found"
        reply = server.ask("GET", "/invocations")
        assert (reply.status, reply.headers["allow"]) == (405, "POST")
        assert server.ask("POST", "/ping").status == 405


class TestManyAtOnce:
    def test_no_answer_is_given_to_another_picture(self, server: ServerProcess) -> None:
        random = np.random.default_rng(5)
        colours = [tuple(int(part) for part in random.integers(0, 256, 3)) for _ in range(96)]
        local = threading.local()

        def ask(colour: tuple[int, int, int]) -> None:
            data = encode(Image.new("RGB", (50, 50), colour), "PNG")
            if not hasattr(local, "connection"):
                local.connection = server.connect()
            local.connection.request(
                "POST",
                "/invocations",
                data,
                {"Content-Type": "image/png", "X-Amzn-SageMaker-Custom-Attributes": f"logits=1,top_k={len(COLOURS)}"},
            )
            reply = local.connection.getresponse()
            body = json.loads(reply.read())
            np.testing.assert_allclose(body["logits"], expected_logits(colour), atol=1e-3)

        with ThreadPoolExecutor(16) as pool:
            list(pool.map(ask, colours))


class TestLog:
    def test_one_line_a_request_with_its_stages_and_no_picture_and_no_pings(self, server: ServerProcess) -> None:
        before = len(server.log_lines())
        server.ask("GET", "/ping")
        server.classify(RED)
        server.classify(b"\xff\xd8\xffsecret")
        deadline = time.monotonic() + 10  # a line is written after its answer has gone
        while len(lines := server.log_lines()[before:]) < 2 and time.monotonic() < deadline:
            time.sleep(0.02)
        good, bad = lines
        assert {"time", "level", "event", "status", "bytes", "queue_ms", "decode_ms", "model_ms", "ms"} <= set(good)
        assert (bad["status"], bad["problem"]) == (400, "unreadable-image")
        assert "secret" not in server.log.read_text()


def test_a_server_full_to_its_capacity_turns_requests_away(tmp_path: Path) -> None:
    model = write_model_directory(tmp_path / "model")
    with running(model, tmp_path / "log", SERVING_CAPACITY="1", SERVING_THREADS="1") as server:
        # given a request that is inside, its body still on its way
        slow = server.connect()
        slow.putrequest("POST", "/invocations")
        slow.putheader("Content-Type", "image/png")
        slow.putheader("Content-Length", str(len(RED)))
        slow.endheaders(RED[:10])
        while (reply := server.classify(RED)).status == 200:
            pass
        # then another is turned away at once
        assert (reply.status, reply.json["type"]) == (503, "about:blank#overloaded")
        assert int(reply.headers["retry-after"]) >= 1
        # and when the first has its answer there is room again
        slow.send(RED[10:])
        assert slow.getresponse().status == 200
        assert server.classify(RED).status == 200
