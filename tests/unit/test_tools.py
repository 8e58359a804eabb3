"""The tools a person runs: what they print, and what they say when something is missing."""

from __future__ import annotations

import io
import time
from pathlib import Path

import boto3
import pytest
from moto import mock_aws
from rich.console import Console

from tools import ask
from tools.job_log import one_line_an_epoch
from tools.progress import Progress
from tools.stack import Stack, StackError, describe_stack, local_environment
from tools.upload import DataError, picture_files, upload


def plain_console() -> Console:
    return Console(file=io.StringIO(), force_terminal=False, width=200)


def printed(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_progress_prints_one_plain_line_per_fact_when_the_output_is_not_a_terminal() -> None:
    console = plain_console()
    with Progress(console) as progress:
        progress.begin("Train")
        progress.detail("Train", "metric validation:accuracy=0.9500 epoch=3")
        progress.detail("Train", "metric validation:accuracy=0.9500 epoch=3")
        time.sleep(0.06)
        progress.end("Train")
    lines = printed(console).splitlines()
    assert [line.split("] ")[1].split(" in ")[0] for line in lines] == [
        "Train …",
        "Train: metric validation:accuracy=0.9500 epoch=3",
        "Train done",
    ]


def test_progress_marks_the_running_step_as_failed_when_the_work_raises() -> None:
    console = plain_console()
    with pytest.raises(RuntimeError), Progress(console) as progress:
        progress.begin("sam deploy")
        raise RuntimeError
    assert "sam deploy failed" in printed(console)


def test_progress_counts_every_tenth_of_the_way_in_plain_output() -> None:
    console = plain_console()
    with Progress(console) as progress:
        progress.begin("upload")
        for done in range(1, 201):
            progress.count("upload", done, 200)
    assert printed(console).count("of 200") == 10


def test_progress_shows_a_state_that_is_entered_again_as_one_line() -> None:
    console = plain_console()
    with Progress(console) as progress:
        for _ in range(3):
            progress.begin("WaitForEndpoint")
            time.sleep(0.06)
            progress.end("WaitForEndpoint")
    assert printed(console).count("WaitForEndpoint done") == 1


def test_a_folder_that_is_not_a_data_set_is_refused_with_what_it_lacks(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    with pytest.raises(DataError, match="no folder valid"):
        picture_files(tmp_path)


def test_upload_replaces_what_an_earlier_data_set_left(tmp_path: Path) -> None:
    for name in ("train/001.A/1.jpg", "valid/001.A/2.jpg", "test/001.A/3.jpg"):
        path = tmp_path / name
        path.parent.mkdir(parents=True)
        path.write_bytes(b"picture")
    with mock_aws():
        s3 = boto3.client("s3", region_name="us-east-1")
        s3.create_bucket(Bucket="data")
        s3.put_object(Bucket="data", Key="dogs/train/009.Old/x.jpg", Body=b"old")
        seen: list[tuple[int, int]] = []
        count = upload(s3, tmp_path, "data", "dogs/", lambda done, total: seen.append((done, total)))
        keys = [item["Key"] for item in s3.list_objects_v2(Bucket="data")["Contents"]]
    assert count == 3
    assert seen[-1] == (3, 3)
    assert keys == ["dogs/test/001.A/3.jpg", "dogs/train/001.A/1.jpg", "dogs/valid/001.A/2.jpg"]


@pytest.mark.parametrize(
    ("folder", "breed"),
    [("057.Dalmatian", "Dalmatian"), ("016.Golden_retriever", "Golden retriever"), ("cats", "cats"), ("a.b", "a.b")],
)
def test_a_folder_names_its_breed_as_the_model_does(folder: str, breed: str) -> None:
    assert ask.breed_of(Path("test") / folder / "x.jpg") == breed


def test_latency_is_the_median_and_the_99th_percentile_in_milliseconds() -> None:
    answers = [ask.Answer(Path("x"), "", 200, {}, seconds / 1000) for seconds in range(1, 101)]
    median, p99 = ask.latency_ms(answers)
    assert median == pytest.approx(50.5)
    assert p99 == pytest.approx(99.01)


def test_a_refused_picture_counts_as_a_wrong_answer() -> None:
    right = ask.Answer(Path("x"), "Beagle", 200, {"predictions": [{"breed": "Beagle"}]}, 0.1)
    refused = ask.Answer(Path("x"), "Beagle", 400, {"title": "Unreadable image"}, 0.1)
    assert ask.accuracy([right, refused]) == 0.5


def test_the_local_environment_keeps_a_persons_own_aws_profile_out() -> None:
    environment = local_environment("http://127.0.0.1:1", "us-east-1", {"AWS_PROFILE": "work", "PATH": "/bin"})
    assert "AWS_PROFILE" not in environment
    assert environment["AWS_ENDPOINT_URL"] == "http://127.0.0.1:1"
    assert environment["PATH"] == "/bin"


def test_a_saved_stack_is_readable_by_its_owner_only_and_loads_again(tmp_path: Path) -> None:
    stack = Stack(
        "kennel", "us-east-1", None, "https://x/v1", "key", "data", "artifacts", "endpoint", {"pipeline": "arn"}
    )
    stack.save(tmp_path / "stack.json")
    assert Stack.load(tmp_path / "stack.json") == stack
    assert (tmp_path / "stack.json").stat().st_mode & 0o077 == 0


def test_a_person_without_a_region_or_credentials_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_DEFAULT_REGION", "AWS_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    with pytest.raises(StackError, match="must specify a region"):
        describe_stack("kennel")


def test_a_missing_stack_file_says_how_to_start_a_stack(tmp_path: Path) -> None:
    with pytest.raises(StackError, match="make up"):
        Stack.load(tmp_path / "stack.json")


def test_the_metrics_of_an_epoch_share_one_line_with_the_accuracy_first() -> None:
    lines = [
        "features: 10/20",
        "metric train:loss=0.712345 epoch=1",
        "metric validation:accuracy=0.95 epoch=1",
        "metric train:loss=0.6 epoch=2",
    ]
    assert one_line_an_epoch(lines) == [
        "features: 10/20",
        "epoch 1: validation:accuracy 0.95, train:loss 0.7123",
        "epoch 2: train:loss 0.6",
    ]
