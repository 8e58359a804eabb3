"""The serving container's contract, asked of the real server process."""

import base64
import hashlib
import io
import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import pytest
from openvino import opset13 as ops
from PIL import Image

from serving.errors import Problem
from serving.explain import Explainer, NotExplained
from serving.manifest import read_manifest
from serving.model import Model
from serving.preprocess import MAX_BYTES
from serving.request import several
from serving.settings import cores, read_settings
from tests.bad_pictures import encode, jpeg_of_size, png_of_size, scenery, sixteen_bit_rgb_png, turned, webp_of_size
from tests.tiny_model import COLOURS, expected_logits, write_model_directory
from tests.unit.serving_process import ServerProcess, running

RED = encode(Image.new("RGB", (40, 40), "red"), "PNG")
BLUE = encode(Image.new("RGB", (40, 40), "blue"), "JPEG")


def multipart(*pictures: bytes) -> bytes:
    """The body of a form with these files, between lines of `--split`."""
    parts = [b'--split\r\nContent-Disposition: form-data; name="p"\r\n\r\n' + data + b"\r\n" for data in pictures]
    return b"".join(parts) + b"--split--\r\n"


MULTIPART_TYPE = "multipart/form-data; boundary=split"
MULTIPART = multipart(RED, b"no picture", BLUE)
AS_JSON = json.dumps([base64.b64encode(data).decode() for data in (RED, b"no picture", BLUE)]).encode()


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
        assert [model.answer(outcome, 1)["confident"] for outcome in outcomes] == [True, False]

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
            "timing=yes",
            "explain=2",
            "trace=",
            "trace=a b",
            f"trace={'a' * 129}",
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


class TestSeveralPictures:
    @pytest.mark.parametrize(
        ("body", "content_type"),
        [(AS_JSON, "application/json"), (MULTIPART, MULTIPART_TYPE)],
        ids=["json", "multipart"],
    )
    def test_each_gets_its_own_answer_in_order_and_a_bad_one_spoils_no_other(
        self, server: ServerProcess, body: bytes, content_type: str
    ) -> None:
        reply = server.classify(body, "top_k=1,logits=1", content_type)
        assert reply.status == 200
        assert set(reply.json) == {"results", "model"}
        red, bad, blue = reply.json["results"]
        assert (red["predictions"][0]["breed"], blue["predictions"][0]["breed"]) == ("Red", "Blue")
        np.testing.assert_allclose(blue["logits"], expected_logits((0, 0, 254)), atol=0.1)
        assert (bad["problem"]["status"], bad["problem"]["type"]) == (415, "about:blank#unsupported-media-type")

    def test_as_many_as_are_taken(self, server: ServerProcess) -> None:
        reply = server.classify(multipart(*[RED, BLUE] * 16), "top_k=1", MULTIPART_TYPE)
        assert [one["predictions"][0]["breed"] for one in reply.json["results"]] == ["Red", "Blue"] * 16

    def test_they_must_all_find_room(self, tmp_path: Path) -> None:
        with running(write_model_directory(tmp_path / "model"), tmp_path / "log", SERVING_CAPACITY="2") as small:
            reply = small.classify(MULTIPART, content_type=MULTIPART_TYPE)
            assert (reply.status, reply.json["type"]) == (503, "about:blank#overloaded")
            assert small.classify(multipart(RED, BLUE), content_type=MULTIPART_TYPE).status == 200


class TestExplanation:
    def test_the_heat_lies_where_the_colour_is(self, server: ServerProcess) -> None:
        # given a picture that is red but for its last third
        picture = Image.new("RGB", (36, 36), "blue")
        picture.paste("red", (0, 0, 24, 36))

        reply = server.classify(encode(picture, "PNG"), "explain=1,top_k=1")

        explanation = reply.json["explanation"]
        assert (explanation["index"], explanation["breed"]) == (0, "Red")
        heat_map = Image.open(io.BytesIO(base64.b64decode(explanation["heat_map"])))
        assert (heat_map.format, heat_map.size) == ("PNG", (32, 32))
        opacity = np.asarray(heat_map.convert("RGBA"))[..., 3]
        assert opacity[:, :18].min() > 100
        assert opacity[:, 24:].max() == 0

    def test_it_is_for_one_picture(self, server: ServerProcess) -> None:
        reply = server.classify(MULTIPART, "explain=1", MULTIPART_TYPE)
        assert (reply.status, reply.json["type"]) == (400, "about:blank#bad-attributes")

    def test_the_places_of_a_linear_head_have_the_logits_as_their_mean(self, tmp_path: Path) -> None:
        graph = _network(tmp_path)
        pixels = np.random.default_rng(3).integers(0, 256, (32, 32, 3), dtype=np.uint8)
        core = openvino.Core()

        places = Explainer(core, graph, 32).places(pixels)

        assert places.shape == (8, 8, 3)
        whole = core.compile_model(core.read_model(graph), "CPU")(pixels[None])[0][0]
        np.testing.assert_allclose(places.mean(axis=(0, 1)), whole, atol=1e-4)

    def test_a_network_that_ends_otherwise_says_so(self, tmp_path: Path) -> None:
        pixels = ops.parameter([-1, 32, 32, 3], np.uint8)
        first = ops.reshape(ops.convert(pixels, np.float32), np.array([-1, 3072]), special_zero=False)
        logits = ops.matmul(first, np.ones((3072, 2), dtype=np.float32), transpose_a=False, transpose_b=False)
        openvino.save_model(openvino.Model([logits], [pixels], "flat"), tmp_path / "model.xml")
        with pytest.raises(NotExplained, match="no mean over the picture"):
            Explainer(openvino.Core(), tmp_path / "model.xml", 32).heat_map(np.zeros((32, 32, 3), dtype=np.uint8), 0)


def _network(folder: Path) -> Path:
    """One convolution, the mean over its 8 x 8 places, a linear head for three classes."""
    random = np.random.default_rng(2)
    pixels = ops.parameter([-1, 32, 32, 3], np.uint8)
    channels_first = ops.transpose(ops.convert(pixels, np.float32), np.array([0, 3, 1, 2]))
    weights = random.normal(size=(5, 3, 4, 4)).astype(np.float32) / 100
    features = ops.relu(ops.convolution(channels_first, weights, [4, 4], [0, 0], [0, 0], [1, 1]))
    mean = ops.reduce_mean(features, np.array([2, 3]), keep_dims=False)
    head = ops.matmul(mean, random.normal(size=(5, 3)).astype(np.float32), transpose_a=False, transpose_b=False)
    logits = ops.add(head, random.normal(size=(1, 3)).astype(np.float32))
    openvino.save_model(openvino.Model([logits], [pixels], "net"), folder / "model.xml", compress_to_fp16=False)
    return folder / "model.xml"


class TestRetries:
    def test_the_same_request_again_is_answered_from_memory(self, server: ServerProcess) -> None:
        picture = encode(Image.new("RGB", (40, 40), (10, 200, 30)), "PNG")
        # a client that tries again comes with another trace
        first, again = server.classify(picture, "top_k=3,trace=a"), server.classify(picture, "trace=b,top_k=3")
        other = server.classify(picture, "top_k=2")
        assert first.json == again.json
        assert (len(first.json["predictions"]), len(other.json["predictions"])) == (3, 2)
        lines = _lines(server, hashlib.sha256(picture).hexdigest(), 3)
        assert [line["remembered"] for line in lines] == [False, True, False]

    def test_the_same_bytes_called_something_else_are_another_request(self, server: ServerProcess) -> None:
        form = multipart(BLUE, RED)
        as_form, as_picture = server.classify(form, "", MULTIPART_TYPE), server.classify(form, "", "image/jpeg")
        assert (as_form.status, len(as_form.json["results"])) == (200, 2)
        assert (as_picture.status, as_picture.json["type"]) == (415, "about:blank#unsupported-media-type")


class TestSampling:
    """What the log keeps of a share of the pictures, for whoever watches for drift."""

    def test_of_each_sampled_picture_a_line_has_numbers_and_whose_it_was(self, tmp_path: Path) -> None:
        folder = write_model_directory(tmp_path / "model", version="colours-7")
        with running(folder, tmp_path / "log", SERVING_SAMPLE="1") as server:
            server.classify(RED, "trace=abc")
            server.classify(MULTIPART, content_type=MULTIPART_TYPE)
            server.classify(RED, "trace=abc")  # answered from memory: seen once
            lines = [line for line in server.log_lines() if line["event"] == "sampled"]

        one, red, blue = lines
        assert set(one) == {
            *("time", "level", "event", "trace", "model", "precision", "index", "confidence", "features")
        }
        assert (one["model"], one["precision"], one["index"], one["trace"]) == ("colours-7", "f32", 0, "abc")
        assert (red["index"], blue["index"]) == (0, 2)
        # the largest logit, the projections, brightness, contrast, colour, sharpness
        assert (one["features"][0], one["features"][-4:]) == (pytest.approx(0, abs=1e-3), [0.3333, 0.0, 1.0, 0.0])
        assert len(one["features"]) == 1 + 7 + 4
        assert one["confidence"] == pytest.approx(np.exp(0) / np.exp(expected_logits((255, 0, 0))).sum(), abs=1e-4)

    def test_by_default_there_is_none(self, server: ServerProcess) -> None:
        server.classify(RED, "timing=1")
        assert "sampled" not in {line["event"] for line in server.log_lines()}

    def test_a_batch_transform_is_no_traffic(self) -> None:
        asked = {"SERVING_SAMPLE": "0.5"}
        assert read_settings(asked).sample == 0.5
        assert read_settings(asked | {"SAGEMAKER_BATCH": "true"}).sample == 0


class TestBatchTransform:
    def test_a_bad_picture_is_a_line_among_the_results(self, tmp_path: Path) -> None:
        model = write_model_directory(tmp_path / "model")
        with running(model, tmp_path / "log", SAGEMAKER_BATCH="true", SERVING_TOP_K="2") as server:
            bad, good = server.classify(b"no picture"), server.classify(RED)
        assert (bad.status, bad.json["problem"]["type"]) == (200, "about:blank#unsupported-media-type")
        assert (good.status, len(good.json["predictions"])) == (200, 2)

    def test_it_is_told_how_to_ask(self, server: ServerProcess) -> None:
        reply = server.ask("GET", "/execution-parameters")
        assert reply.json == {
            "MaxConcurrentTransforms": min(2 * cores(), 16),
            "BatchStrategy": "SINGLE_RECORD",
            "MaxPayloadInMB": 6,
        }


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
            (RED, "application/json", 400, "bad-body"),
            (b'{"image": ""}', "application/json", 400, "bad-body"),
            (b'["!"]', "application/json", 400, "bad-body"),
            (b"[1]", "application/json", 400, "bad-body"),
            (b"[" * 100_000, "application/json", 400, "bad-body"),
            (b"[]", "application/json", 400, "bad-body"),
            (json.dumps([""] * 33).encode(), "application/json", 400, "bad-body"),
            (RED, "multipart/form-data", 400, "bad-body"),
            (RED, "multipart/form-data; boundary=x", 400, "bad-body"),
            (MULTIPART[:-8], MULTIPART_TYPE, 400, "bad-body"),
            (b"--split--\r\n", MULTIPART_TYPE, 400, "bad-body"),
            (MULTIPART, f"multipart/form-data; boundary={'x' * 300}", 400, "bad-body"),
            (RED, "text/plain; charset=utf-8", 415, "unsupported-media-type"),
        ],
    )
    def test_bad_pictures(self, server: ServerProcess, data: bytes, content_type: str, status: int, slug: str) -> None:
        reply = server.classify(data, content_type=content_type)
        assert reply.status == status
        assert reply.headers["content-type"] == "application/problem+json"
        assert set(reply.json) == {"type", "title", "status", "detail"}
        assert (reply.json["type"], reply.json["status"]) == (f"about:blank#{slug}", status)

    @pytest.mark.parametrize(
        ("content_type", "body"),
        [
            ("application/json", json.dumps(["no base64"] * 33).encode()),
            (MULTIPART_TYPE, multipart(*[RED] * 33)[:-8]),  # breaks off
        ],
    )
    def test_too_many_pictures_are_refused_before_they_are_read_through(self, content_type: str, body: bytes) -> None:
        with pytest.raises(Problem, match="1 to 32 pictures are taken at a time, and in the body are more than 32"):
            several({"content-type": content_type}, body)

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
        server.classify(encode(Image.new("RGB", (41, 40), "red"), "PNG"))
        server.classify(b"\xff\xd8\xffsecret")
        good, bad = _wait_for_lines(lambda: server.log_lines()[before:], 2)
        assert {"time", "level", "event", "status", "bytes", "queue_ms", "decode_ms", "model_ms", "ms"} <= set(good)
        assert (bad["status"], bad["problem"]) == (400, "unreadable-image")
        assert "secret" not in server.log.read_text()

    def test_the_callers_ids_are_in_it_and_times_in_the_answer_when_asked(self, server: ServerProcess) -> None:
        before = len(server.log_lines())
        reply = server.ask(
            "POST",
            "/invocations",
            RED,
            X_Amzn_SageMaker_Custom_Attributes="timing=1,trace=Root=1-5e1b4151-43a0913a12345678",
            X_Amzn_SageMaker_Inference_Id="request 7\u00e9",
        )
        assert set(reply.json["timing_ms"]) == {"queue", "decode", "model"}
        (line,) = _wait_for_lines(lambda: server.log_lines()[before:], 1)
        assert (line["request_id"], line["trace"]) == ("request?7?", "Root=1-5e1b4151-43a0913a12345678")


def _lines(server: ServerProcess, sha256: str, count: int) -> list[dict[str, Any]]:
    return _wait_for_lines(lambda: [line for line in server.log_lines() if line.get("sha256") == sha256], count)


def _wait_for_lines(read: Callable[[], list[dict[str, Any]]], count: int) -> list[dict[str, Any]]:
    """A line is written after its answer has gone."""
    deadline = time.monotonic() + 10
    while len(lines := read()) < count and time.monotonic() < deadline:
        time.sleep(0.02)
    assert len(lines) == count
    return lines


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
