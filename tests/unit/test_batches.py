"""A batch's input and its two functions: what is asked, what is gone on with, what its lines and summary say."""

from __future__ import annotations

import json
from collections.abc import Iterator

import boto3
import pytest
from kennel import batches, naming, objects, served
from kennel.batches import BATCH_FIELDS, parse_batch
from kennel.errors import EndpointUnavailable, InvalidBatch, KennelError
from kennel.fields import Field
from kennel.s3uri import S3Uri

from functions.collect_batch import app as collect
from tests.unit.batch_world import ARTIFACTS, DATA, GOOD, RUN, World
from tests.unit.batch_world import world as a_world

PROBLEM = {"problem": {"type": "about:blank#unreadable-image", "title": "t", "status": 400, "detail": "d"}}


@pytest.fixture
def world() -> Iterator[World]:
    with a_world() as found:
        yield found


def refusal(world: World, **given: object) -> list[str]:
    with pytest.raises(InvalidBatch) as caught:
        world.plan(**given)
    return caught.value.problems


# --- The input --------------------------------------------------------------------------------------------------------


def test_every_problem_is_reported_at_once_by_its_field() -> None:
    with pytest.raises(InvalidBatch) as caught:
        parse_batch({"top_k": 0, "instances": 1.5, "topk": 1}, {"instance_type": "ml.c5.large"})

    assert caught.value.problems == [
        "top_k: 0 is below 1",
        "instances: is not a whole number",
        "topk: there is no such field",
    ]


def test_input_goes_before_stack_defaults_which_go_before_the_tables() -> None:
    found = parse_batch({"instances": 3}, {"instance_type": "ml.c5.large", "instances": 2})

    assert (found["instances"], found["instance_type"], found["pictures_a_job"]) == (3, "ml.c5.large", 20_000)


@pytest.mark.parametrize("field", BATCH_FIELDS, ids=lambda field: field.path)
def test_every_field_is_checked_for_type_and_range(field: Field) -> None:
    wrongs: list[object] = [None, [], {}, "" if field.kind is not str else 5, "x" * 2000]
    wrongs += [bound - 1 for bound in [field.minimum] if bound] + [field.maximum * 2 for _ in [0] if field.maximum]
    for wrong in wrongs:
        with pytest.raises(InvalidBatch, match=f"^{field.path}: "):
            parse_batch({field.path: wrong}, {})


def test_the_name_of_a_job_fits_for_the_longest_names_and_is_new_for_every_part_and_execution() -> None:
    stack, batch = "s" * naming.MAX_STACK, naming.batch_name(None, "execution", "2026-11-20T10:00:00Z")
    names = {
        naming.transform_job(stack, "b" * naming.MAX_BATCH, execution, started, part)
        for execution in ("one", "two")
        for started in ("2026-11-20T10:00:00Z", "2027-11-20T10:00:00Z")
        for part in (1, 2)
    }
    assert len(names) == 8 and {len(name) for name in names} == {naming.MAX_NAME}
    assert len(batch) <= naming.MAX_BATCH and all(name.startswith(f"{stack}-bbb") for name in names)


# --- Plan -------------------------------------------------------------------------------------------------------------


def test_the_first_plan_lists_every_picture_below_the_folder_and_nothing_else(world: World) -> None:
    # given pictures in folders, a hidden file, a marker of a folder, and what lies beside the folder
    world.put("b.jpg", "a/ein Hund+50%20 #1?.jpg", "a/b/c.jpg", ".DS_Store", "a/")
    world.s3.put_object(Bucket=DATA, Key="dogs-of-others/d.jpg", Body=b"picture")
    # when planned
    planned = world.plan(top_k=3)
    # then
    assert world.listed(planned) == ["a/b/c.jpg", "a/ein Hund+50%20 #1?.jpg", "b.jpg"]
    assert (planned["left"], planned["taken"], planned["answered"]) == (3, 3, 0)
    assert (planned["model"], planned["top_k"], planned["instance_type"]) == (f"kennel-{RUN}", 3, "ml.c5.large")
    assert {"Key": "kennel:stack", "Value": "kennel"} in planned["tags"]


def test_each_job_takes_what_has_no_result_yet_until_nothing_is_left(world: World) -> None:
    world.put("a", "b", "c")
    taken = []
    for part in (1, 2, 3):
        planned = world.plan(part, pictures_a_job=2)
        taken.append((planned["left"], planned["answered"]))
        if planned["left"]:
            world.transform(planned)
    assert taken == [(3, 0), (1, 2), (0, 3)]


def test_a_later_start_of_the_same_name_goes_on_with_what_it_was_begun_with(world: World) -> None:
    # given a batch of which one of two pictures has a result
    world.put("a", "b")
    first = world.plan(pictures_a_job=1, top_k=2)
    world.transform(first)
    # when it is started again with no more than its name
    planned = world.plan(execution="execution-2", pictures=None, run=None)
    # then the other one is left, and the job is a new one
    assert world.listed(planned) == ["b"]
    assert (planned["run"], planned["top_k"], planned["pictures"]) == (RUN, 2, f"s3://{DATA}/dogs/")
    assert planned["job"] != first["job"]


def test_a_picture_that_was_replaced_or_whose_result_was_deleted_is_asked_about_again(world: World) -> None:
    world.put("a", "b", "c")
    world.transform(world.plan())
    world.s3.delete_object(Bucket=ARTIFACTS, Key="batches/first/results/b.out")
    results = batches.Files(ARTIFACTS, "first").results(world.s3)
    (picture, *_) = batches.pictures(world.s3, S3Uri(DATA, "dogs/"))
    newer = batches.Picture("dogs/a", "a", 7, results["a"].replace(year=2050))

    assert batches.has_result(picture, results) and not batches.has_result(newer, results)
    assert world.listed(world.plan(part=2)) == ["b"]


def test_what_no_container_can_be_asked_about_is_in_no_manifest(world: World) -> None:
    world.put("empty", body=b"")
    world.put("large", body=b"x" * (batches.MAX_PICTURE_BYTES + 1))
    world.put("limit", body=b"x" * batches.MAX_PICTURE_BYTES)

    assert world.listed(world.plan()) == ["limit"]


def test_a_batch_of_nothing_but_those_has_nothing_left(world: World) -> None:
    world.put("empty", body=b"")

    assert world.plan()["left"] == 0


def test_a_batch_may_not_be_changed_on_the_way(world: World) -> None:
    world.put("a")
    world.plan()

    assert refusal(world, top_k=7, run="other") == [
        f"run: the batch first was begun with {RUN}; another one needs another name",
        "top_k: the batch first was begun with 5; another one needs another name",
    ]
    assert world.plan(instances=4, top_k=5)["instances"] == 4


def test_more_pictures_than_a_batch_takes_are_refused(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.put("a", "b", "c")
    monkeypatch.setattr(batches, "MAX_PICTURES", 2)

    assert refusal(world) == [f"pictures: s3://{DATA}/dogs/ has more than 2; make batches of its folders"]


def test_without_a_run_the_model_in_service_answers(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.put("a")
    monkeypatch.setattr(served, "look", lambda client, name: served.Served(RUN, f"kennel-{RUN}", "InService"))

    assert world.plan(run=None)["run"] == RUN


def test_what_begins_no_batch_leaves_nothing_of_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing_serves(client: object, name: str) -> served.Served:
        raise EndpointUnavailable("no model is in service under this stack's endpoint")

    monkeypatch.setattr(served, "look", nothing_serves)
    world.put("a")

    assert refusal(world, run=None) == ["run: is not given, and no model is in service under this stack's endpoint"]
    assert "there is no model kennel-gone" in refusal(world, run="gone")[0]
    assert refusal(world, pictures=f"s3://{DATA}/cats/") == [f"pictures: s3://{DATA}/cats/ has no pictures"]
    assert "KeyCount" in (found := world.s3.list_objects_v2(Bucket=ARTIFACTS)) and found["KeyCount"] == 0


# --- Collect ----------------------------------------------------------------------------------------------------------


def test_every_picture_becomes_a_line_in_the_order_of_the_keys_and_is_counted(world: World) -> None:
    # given answers of all kinds, and pictures that nobody could be asked about
    world.put("a", "a.b", "a/c", "d")
    world.put("empty", body=b"")
    world.put("large", body=b"x" * (batches.MAX_PICTURE_BYTES + 1))
    other = {"breed": "Pug", "index": 2, "probability": 0.3}
    world.answers = {"a.b": PROBLEM, "d": {**GOOD, "confident": False, "predictions": [other]}}
    world.transform(world.plan())
    # when collected
    summary = world.collect(world.plan(part=2), {"job": "j", "pictures": 4, "seconds": 8})
    # then
    lines = world.lines()
    assert [line["key"] for line in lines] == [f"dogs/{name}" for name in ("a", "a.b", "a/c", "d", "empty", "large")]
    assert lines[0] == {"key": "dogs/a", **GOOD} and lines[1] == {"key": "dogs/a.b", **PROBLEM}
    assert [line["problem"]["status"] for line in lines[-2:]] == [415, 413]
    assert summary == {
        "batch": "first",
        "pictures": f"s3://{DATA}/dogs/",
        "run": RUN,
        "top_k": 5,
        "predictions": f"s3://{ARTIFACTS}/batches/first/predictions.jsonl",
        "lines": 6,
        "answered": 3,
        "not_confident": 1,
        "classes": {"Beagle": 2, "Pug": 1},
        "problems": {"image-too-large": 1, "unreadable-image": 1, "unsupported-media-type": 1},
        "came_later": 0,
        "asked": 4,
        "jobs": 1,
        "seconds": 8,
        "pictures_per_second": 0.5,
    }
    kept = world.s3.get_object(Bucket=ARTIFACTS, Key="batches/first/summary.json")["Body"].read()
    assert json.loads(kept) == summary


def test_pictures_that_came_after_the_last_job_are_told_and_have_no_line(world: World) -> None:
    world.put("a")
    world.transform(planned := world.plan())
    world.put("late")

    summary = world.collect(planned)

    assert (summary["lines"], summary["came_later"], summary["pictures_per_second"]) == (1, 1, 0)
    assert [line["key"] for line in world.lines()] == ["dogs/a"]


def test_more_lines_than_are_held_at_once_keep_their_order(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collect, "_AT_ONCE", 3)
    names = [f"{number:02}" for number in range(10)]
    world.put(*names)
    world.transform(planned := world.plan())

    world.collect(planned)

    assert [line["key"] for line in world.lines()] == [f"dogs/{name}" for name in names]


@pytest.mark.parametrize("answer", [b"no JSON", b"[]", {"predictions": []}, {"model": RUN}])
def test_a_result_that_cannot_be_understood_is_named_and_no_file_is_written(world: World, answer: object) -> None:
    world.put("a", "b")
    world.answers = {"b": answer}
    world.transform(planned := world.plan())

    with pytest.raises(KennelError, match=r"batches/first/results/b\.out cannot be understood"):
        world.collect(planned)
    keys = [item["Key"] for item in world.s3.list_objects_v2(Bucket=ARTIFACTS)["Contents"]]
    assert "batches/first/predictions.jsonl" not in keys


# --- Writing ----------------------------------------------------------------------------------------------------------


def test_what_is_larger_than_a_part_is_written_in_parts_and_whole(world: World) -> None:
    chunks = [bytes([number]) * 3_000_000 for number in range(7)]

    objects.write(world.s3, S3Uri(ARTIFACTS, "large"), iter(chunks), "text/plain")

    found = world.s3.get_object(Bucket=ARTIFACTS, Key="large")
    assert found["Body"].read() == b"".join(chunks)
    assert (found["ContentType"], found["ETag"].strip('"').rpartition("-")[2]) == ("text/plain", "3")


def test_what_breaks_off_leaves_neither_an_object_nor_parts(world: World) -> None:
    def broken() -> Iterator[bytes]:
        yield b"x" * objects.PART_BYTES
        raise OSError("the line went dead")

    with pytest.raises(OSError, match="went dead"):
        objects.write(boto3.client("s3"), S3Uri(ARTIFACTS, "large"), broken(), "text/plain")
    assert world.s3.list_objects_v2(Bucket=ARTIFACTS)["KeyCount"] == 0
    assert "Uploads" not in world.s3.list_multipart_uploads(Bucket=ARTIFACTS)
