"""The SageMaker Python SDK v3: its trainer, its tuner and its resources, each run as its user would run it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.functional.conftest import packed

from .conftest import SCRIPTS, Clients, fresh

pytestmark = pytest.mark.slow  # the SDK looks every five seconds, and takes two to be imported
SOURCE = SCRIPTS.parent / "fixtures" / "src"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder of two files."""
    for name in ("1.jpg", "2.jpg"):
        (tmp_path / name).write_text("picture")
    return tmp_path


def train(clients: Clients, data: Path, instances: int = 1, **hyperparameters: Any) -> Any:
    return clients.sdk(
        "train.py", source=str(SOURCE), data=str(data), instances=instances, hyperparameters=hyperparameters
    )


def test_a_model_trainer_uploads_code_and_data_trains_and_shows_the_log(clients: Clients, data: Path) -> None:
    done = train(clients, data, epochs=3)

    assert done["status"] == "Completed"
    shown = [line for line in done["log"] if line.startswith("files=")]
    assert len(shown) == 1
    assert shown[0].startswith("files=['1.jpg', '2.jpg'] model=/")
    assert shown[0].endswith("/model host=algo-1")
    bucket, _, key = done["model"].removeprefix("s3://").partition("/")
    assert clients.stage.aws.client("s3").head_object(Bucket=bucket, Key=key)["ContentLength"] > 0


def test_a_failing_script_is_the_trainers_exception_with_its_traceback(clients: Clients, data: Path) -> None:
    done = train(clients, data, mode="fail")

    assert done["status"] == "Failed"
    assert "AlgorithmError" in done["reason"]
    assert "returned non-zero exit status 1" in done["reason"]
    assert "error: the data is no good" in done["log"]


def test_a_model_trainer_runs_torchrun_over_two_instances(clients: Clients, data: Path) -> None:
    done = train(clients, data, instances=2, epochs=1)
    if "no mount namespace" in (done["reason"] or ""):
        pytest.skip(done["reason"])

    assert done["status"] == "Completed"
    assert {line.rpartition("=")[2] for line in done["log"] if line.startswith("files=")} == {"algo-1", "algo-2"}


def test_a_tuner_finds_the_best_of_its_trials(clients: Clients) -> None:
    done = clients.sdk("tune.py", source=str(SOURCE), data=f"s3://{clients.stage.bucket}/data/")

    assert (done["status"], done["completed"], done["trials"]) == ("Completed", 4, 4)
    assert done["best"]["in"]
    assert abs(1 - abs(float(done["best"]["rate"]) - 0.3) - done["objective"]) < 0.01


def test_training_jobs_as_objects(clients: Clients) -> None:
    requests = {mode: clients.stage.job(fresh("core"), mode=mode) for mode in ("good", "wait")}

    seen = clients.sdk("resources.py", requests=requests)

    assert seen["statuses"] == ["Completed", "Stopped"]
    assert seen["listed"]
    assert seen["seconds"] >= 1
    assert seen["refused"] == "ValidationException"


def test_a_model_in_service_as_objects(clients: Clients) -> None:
    s3, uris = clients.stage.aws.client("s3"), []
    for version in ("1", "2"):
        key = f"{fresh('artifact')}/model.tar.gz"
        s3.put_object(Bucket=clients.stage.bucket, Key=key, Body=packed(None, **{"version.txt": version}))
        uris.append(f"s3://{clients.stage.bucket}/{key}")
    name = fresh("core-endpoint")

    seen = clients.sdk("endpoint.py", name=name, models=uris)

    assert seen["versions"] == ["1", "2"]
    assert seen["said"] == [7, "image/jpeg", "woof"]
    assert (seen["listed"], seen["left"]) == ([name], 0)


def test_a_registered_model_as_objects_and_a_batch_through_it(clients: Clients) -> None:
    s3, bucket, name = clients.stage.aws.client("s3"), clients.stage.bucket, fresh("core-registry")
    s3.put_object(Bucket=bucket, Key=f"{name}/model.tar.gz", Body=packed(None, **{"version.txt": "1"}))
    s3.put_object(Bucket=bucket, Key=f"{name}/in/one.jpg", Body=b"picture")
    base = f"s3://{bucket}/{name}"

    seen = clients.sdk(
        "registry.py", name=name, model=f"{base}/model.tar.gz", input=f"{base}/in/", output=f"{base}/out"
    )

    assert (seen["approval"], seen["version"], seen["listed"]) == ("Approved", 1, 1)
    assert seen["transformed"] == "Completed"
    answer = json.loads(s3.get_object(Bucket=bucket, Key=f"{name}/out/one.jpg.out")["Body"].read())
    assert (answer["size"], answer["type"]) == (7, "image/jpeg")
    assert seen["left"] == 0
