"""Starting and stopping: what the server refuses to start with, when it is ready, that SIGTERM loses nothing."""

import asyncio
import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import openvino
import pytest
from PIL import Image

from serving.app import App
from serving.manifest import ModelRefused, read_manifest
from serving.model import Model
from serving.settings import cores, read_settings
from tests.bad_pictures import encode
from tests.harmful import pickle_that_would_make
from tests.tiny_model import write_model_directory, write_model_json
from tests.unit.serving_process import ROOT, read_reply, running

FULL = {"temperature": 1.0, "threshold": 0.9, "logit_threshold": -8.0}  # what calibrates a precision
RED = encode(Image.new("RGB", (40, 40), "red"), "PNG")


def start(model_dir: Path, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """The server, where it is expected to end by itself."""
    settings = {"MODEL_DIR": str(model_dir), "HOST": "127.0.0.1", "PORT": "0"} | environment
    return subprocess.run(
        [sys.executable, "-m", "serving", *arguments],
        cwd=ROOT,
        env=os.environ | settings,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_model_directory(tmp_path / "model")


def change(path: Path, **members: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | members))


class TestRefusesToStart:
    def assert_refused(self, model: Path, said: str) -> None:
        end = start(model)
        assert end.returncode == 1
        assert end.stderr.startswith("error: ")
        assert end.stderr.count("\n") == 1
        assert said in end.stderr

    def test_with_tampered_weights(self, model: Path) -> None:
        weights = model / "model.bin"
        weights.write_bytes(weights.read_bytes()[:-1] + b"\x55")
        self.assert_refused(model, "model.bin is not the file that model.json describes")

    @pytest.mark.parametrize("name", ["model.json", "model.xml", "model.bin", "preprocess.json"])
    def test_with_a_file_missing(self, model: Path, name: str) -> None:
        (model / name).unlink()
        self.assert_refused(model, name)

    @pytest.mark.parametrize("name", ["model.json", "model.xml", "model.bin", "preprocess.json"])
    def test_with_a_pickle_in_the_place_of_a_file_and_runs_nothing_of_it(
        self, model: Path, tmp_path: Path, name: str
    ) -> None:
        (model / name).write_bytes(pickle_that_would_make(tmp_path / "harm"))
        if name != "model.json":
            write_model_json(model)
        with pytest.raises(ModelRefused, match="model"):
            Model(read_manifest(model), threads=1)
        assert not (tmp_path / "harm").exists()

    def test_with_a_format_it_does_not_know(self, model: Path) -> None:
        change(model / "model.json", format=1)
        self.assert_refused(model, "format 1 is not 4")

    def test_with_files_elsewhere(self, model: Path) -> None:
        files = json.loads((model / "model.json").read_text())["files"]
        change(model / "model.json", files=files | {"../model.bin": "0"})
        self.assert_refused(model, "'../model.bin' is not the name of a file beside it")

    @pytest.mark.parametrize(
        ("members", "said"),
        [
            ({"classes": [{"index": 0, "name": "Dog"}]}, "1 classes"),
            ({"classes": [{"index": 1, "name": "Dog"}]}, "numbered"),
            ({"classes": [{"name": "Dog"}]}, "index"),
            ({"precision": "int8"}, "precision 'int8' is none of precisions"),
            ({"precisions": {}}, "precisions must tell of f32"),
            ({"precisions": {"f32": FULL, "int4": FULL}}, "none but int8, bf16, f32"),
            ({"precisions": {"f32": FULL, "int8": FULL}}, "int8.xml is not listed in files"),
            ({"precisions": {"f32": FULL | {"temperature": 0}}}, "temperature"),
            ({"precisions": {"f32": FULL | {"threshold": "high"}}}, "threshold"),
            ({"precisions": {"f32": FULL | {"logit_threshold": None}}}, "logit_threshold is not a number"),
            ({"precisions": {"f32": FULL | {"logit_threshold": float("nan")}}}, "logit_threshold is not a number"),
            ({"version": ""}, "version"),
            ({"files": {}}, "not listed"),
        ],
    )
    def test_with_a_manifest_that_makes_no_sense(self, model: Path, members: dict[str, Any], said: str) -> None:
        change(model / "model.json", **members)
        self.assert_refused(model, said)

    def test_with_a_graph_that_openvino_cannot_read(self, model: Path) -> None:
        (model / "model.xml").write_text("<net/>")
        write_model_json(model)
        self.assert_refused(model, "model.xml: OpenVINO cannot load it")

    def test_with_a_graph_that_gives_more_than_logits(self, model: Path, tmp_path: Path) -> None:
        graph = openvino.Core().read_model(model / "model.xml")
        logits = graph.get_results()[0].input_value(0)
        twice = openvino.Model([logits, logits], graph.get_parameters(), "twice")
        other = tmp_path / "other"
        other.mkdir()
        openvino.save_model(twice, other / "model.xml", compress_to_fp16=False)
        shutil.copy(model / "preprocess.json", other)
        write_model_json(other)
        self.assert_refused(
            other, "model.xml gives [(1, 8), (1, 8)]: logits alone are wanted, model.json has 8 classes"
        )

    def test_with_settings_that_make_no_sense(self, model: Path) -> None:
        assert "SERVING_THREADS" in start(model, SERVING_THREADS="many").stderr
        assert "PORT" in start(model, PORT="99999").stderr
        assert start(model, "dance").returncode == 2


class TestReadiness:
    def test_before_the_model_is_warm_ping_and_invocations_say_not_ready(self) -> None:
        async def ask(path: str, method: str) -> tuple[int, bytes]:
            sent: list[dict[str, Any]] = []

            async def send(message: dict[str, Any]) -> None:
                sent.append(message)

            async def receive() -> dict[str, Any]:
                return {"type": "http.request", "body": RED}

            scope = {"type": "http", "path": path, "method": method, "headers": []}
            await App(read_settings({}))(scope, receive, send)
            return sent[0]["status"], sent[1]["body"]

        for path, method in (("/ping", "GET"), ("/invocations", "POST")):
            status, body = asyncio.run(ask(path, method))
            assert status == 503
            assert json.loads(body)["type"] == "about:blank#not-ready"


class TestStopping:
    def test_sigterm_loses_no_request_that_is_inside(self, model: Path, tmp_path: Path) -> None:
        with running(model, tmp_path / "log", SERVING_DRAIN_SECONDS="0.3") as server:
            # given requests inside, their bodies still on their way, and an idle connection
            inside: list[http.client.HTTPConnection] = []
            for _ in range(8):
                connection = server.connect()
                connection.putrequest("POST", "/invocations")
                connection.putheader("Content-Length", str(len(RED)))
                connection.endheaders(RED[:20])
                inside.append(connection)
            watcher = server.connect()
            watcher.request("GET", "/ping")
            assert read_reply(watcher).status == 200
            # when the server is told to stop, and has said so
            server.process.send_signal(signal.SIGTERM)
            while True:
                watcher.request("GET", "/ping")
                reply = read_reply(watcher)
                if reply.status == 503:
                    break
            assert reply.headers["connection"] == "close"
            # then every one of them is still answered
            for connection in inside:
                connection.send(RED[20:])
            for connection in inside:
                reply = read_reply(connection)
                assert reply.status == 200
                assert reply.json["predictions"][0]["breed"] == "Red"
            # and the process ends well
            assert server.process.wait(20) == 0
            assert server.log_lines()[-1]["event"] == "stopped"

    def test_sigterm_with_nothing_to_do(self, model: Path, tmp_path: Path) -> None:
        with running(model, tmp_path / "log", SERVING_DRAIN_SECONDS="0") as server:
            server.process.terminate()
            assert server.process.wait(20) == 0


class TestSettings:
    def test_defaults_are_those_of_the_container_contract(self) -> None:
        settings = read_settings({})
        assert (str(settings.model_dir), settings.host, settings.port) == ("/opt/ml/model", "0.0.0.0", 8080)
        assert settings.precision == ""  # what training chose

    def test_a_precision_that_nobody_knows_is_refused(self) -> None:
        with pytest.raises(ValueError, match="SERVING_PRECISION: 'f16' is none of int8, bf16, f32"):
            read_settings({"SERVING_PRECISION": "f16"})

    def test_sagemaker_may_choose_the_port(self) -> None:
        assert read_settings({"SAGEMAKER_BIND_TO_PORT": "9000"}).port == 9000
        assert read_settings({"SAGEMAKER_BIND_TO_PORT": "9000", "PORT": "9001"}).port == 9001

    @pytest.mark.parametrize(("quota", "most"), [("100000 100000", 1), ("150000 100000", 2), ("max 100000", 10_000)])
    def test_a_containers_quota_bounds_the_threads(self, tmp_path: Path, quota: str, most: int) -> None:
        (tmp_path / "cpu.max").write_text(quota)
        assert 1 <= cores(tmp_path / "cpu.max") <= most


def test_the_server_needs_no_torch_and_no_web_framework() -> None:
    heavy = ("torch", "fastapi", "starlette", "pydantic")
    code = f"import sys, serving.__main__; print([name for name in {heavy} if name in sys.modules])"
    end = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert end.stdout.strip() == "[]"
