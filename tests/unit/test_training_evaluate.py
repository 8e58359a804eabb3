"""training/evaluate.py: what it measures, and what becomes of pictures and models that are not as they should be."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from tests.tiny_model import COLOURS
from tests.unit.evaluate_world import Evaluator, command, draw, draw_split, environment, folders, model_channel, pack
from tests.unit.training_world import draw_data, run_job

FEWER = {name: COLOURS[name] for name in ("Red", "Green", "Blue")}
TWO = {name: COLOURS[name] for name in ("Red", "Green")}
STEP = {
    "step": "Train",
    "instance_type": "ml.g5.xlarge",
    "instances": 1,
    "seconds": 1800,
    "billable_seconds": 900,
    "spot": True,
}


@pytest.fixture
def evaluator(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Evaluator:
    return Evaluator(monkeypatch, capsys, tmp_path)


@pytest.fixture
def channels(tmp_path: Path) -> dict[str, Path]:
    """A model that tells eight colours, and two pictures of each."""
    return {"test": draw_split(tmp_path / "test"), "candidate": model_channel(tmp_path, "candidate")}


def test_figures_and_metric_lines_tell_what_the_exported_model_says(
    evaluator: Evaluator, channels: dict[str, Path]
) -> None:
    # given 16 pictures that the model tells right, and two labels that are wrong
    draw(channels["test"] / "001.Red" / "white.png", COLOURS["White"])
    draw(channels["test"] / "002.Green" / "black.png", COLOURS["Black"])

    done = evaluator(channels, run_name="colours-1")

    assert done.status == 0, done.err
    figures = done.figures
    assert {name: figures[name] for name in ("run", "split", "pictures", "incumbent", "top_k")} == {
        "run": "colours-1", "split": "test", "pictures": 18, "incumbent": None, "top_k": 5,
    }  # fmt: skip
    assert figures["accuracy"] == pytest.approx(16 / 18, abs=1e-6)
    assert figures["confident_share"] == 1.0
    assert figures["confident_accuracy"] == figures["accuracy"]
    assert figures["log_loss"] > 1  # two mistakes made with certainty
    told = dict(re.findall(r"^metric (\S+)=(\S+) epoch=0$", done.out, re.MULTILINE))
    assert set(told) == {"test:accuracy", "test:top5", "test:calibration_error"}
    for name in ("accuracy", "top5", "calibration_error"):
        assert float(told[f"test:{name}"]) == pytest.approx(figures[name], abs=1e-6)
    assert {one["file"] for one in done.report["figures"]["mistakes"]} == {
        "test/001.Red/white.png", "test/002.Green/black.png",
    }  # fmt: skip
    assert done.page.count("data:image/jpeg;base64,") == 2


def test_with_two_classes_the_likeliest_alone_counts_for_top5(evaluator: Evaluator, tmp_path: Path) -> None:
    found = {"test": draw_split(tmp_path / "test", TWO), "candidate": model_channel(tmp_path, "candidate", TWO)}
    draw(found["test"] / "001.Red" / "green.png", COLOURS["Green"])

    figures = evaluator(found).figures

    assert figures["top_k"] == 1
    assert figures["top5"] == figures["accuracy"] == pytest.approx(0.8)


def test_a_trained_model_does_in_evaluation_as_it_did_in_training(
    evaluator: Evaluator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    data = draw_data(tmp_path / "data")
    job = run_job(monkeypatch, data, tmp_path / "job")
    assert job.status == 0

    done = evaluator({"test": data / "valid", "candidate": pack(job.model, tmp_path / "channel")}, split="valid")

    assert done.status == 0, done.err
    assert done.figures["split"] == "valid"
    wanted = job.record["validation"]
    for name in ("accuracy", "top5", "calibration_error", "log_loss"):
        assert done.report["figures"][name] == pytest.approx(wanted[name], abs=1e-3)
    assert [one["number"] for one in done.report["training"]["history"]] == [1, 2, 3]
    assert "The data has no test split" in done.page


def test_the_incumbent_is_compared_on_the_pictures_whose_class_it_knows(
    evaluator: Evaluator, channels: dict[str, Path], tmp_path: Path
) -> None:
    # given an incumbent of three colours, to which yellow looks like red or green, and one picture labelled wrongly
    channels["incumbent"] = model_channel(tmp_path, "old", FEWER)
    draw(channels["test"] / "001.Red" / "orange.png", (255, 140, 0))  # nearer to yellow, which the old does not know

    done = evaluator(channels, incumbent_run="colours-0")

    assert done.figures["incumbent"] == {
        "run": "colours-0", "pictures": 7, "accuracy": 1.0, "candidate_accuracy": pytest.approx(6 / 7, abs=1e-6),
    }  # fmt: skip
    found = done.report["incumbent"]
    assert (found["gained"], found["lost"], found["unknown_pictures"]) == (0, 1, 10)
    assert found["classes_added"] == folders()[3:]
    assert [one["file"] for one in found["newly_wrong"]] == ["test/001.Red/orange.png"]
    assert found["newly_wrong"][0]["candidate"]["answer"] == "004.Yellow"
    assert "does not know 5 classes of the candidate" in done.page
    assert "Newly wrong: 1 picture" in done.page


def test_an_incumbent_that_knows_other_classes_only_is_told_apart(
    evaluator: Evaluator, channels: dict[str, Path], tmp_path: Path
) -> None:
    others = {"Orange": (255, 140, 0), "Brown": (120, 60, 20)}
    channels["incumbent"] = model_channel(tmp_path, "old", others)

    done = evaluator(channels)

    assert done.status == 0
    assert done.figures["incumbent"] is None
    assert "knows none of these pictures" in done.page.replace("&#x27;", "'")


def test_files_that_cannot_be_used_are_counted_and_listed(evaluator: Evaluator, channels: dict[str, Path]) -> None:
    (channels["test"] / "001.Red" / "cut.jpg").write_bytes(b"\xff\xd8\xff")
    (channels["test"] / "001.Red" / ".hidden").write_bytes(b"")

    done = evaluator(channels, max_bad_share="0.1")

    assert done.status == 0
    assert done.figures["pictures"] == 16
    data = done.report["data"]
    assert data["files"] == 17
    assert [(one["name"], one["kind"]) for one in data["bad_files"]] == [("test/001.Red/cut.jpg", "corrupt")]
    assert data["ignored"] == ["test/001.Red/.hidden"]
    assert 'bad file: "test/001.Red/cut.jpg": corrupt' in done.out
    assert "test/001.Red/cut.jpg" in done.page


def empty(test: Path) -> None:
    for path in test.rglob("*.png"):
        path.unlink()


def spoil_half(test: Path) -> None:
    for path in test.rglob("1.png"):
        path.write_bytes(b"GIF89a")


def add_class(test: Path) -> None:
    draw(test / "099.Orange" / "0.png", (255, 140, 0))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (empty, "set the hyperparameter split to valid"),
        (spoil_half, "8 of 16 files cannot be used, 50.0%; max_bad_share is 5.0%"),
        (add_class, 'folders of classes that the model does not know: "099.Orange"'),
    ],
    ids=lambda one: getattr(one, "__name__", ""),
)
def test_pictures_that_cannot_be_measured_on_fail_the_job(
    evaluator: Evaluator, channels: dict[str, Path], change: object, reason: str
) -> None:
    change(channels["test"])  # type: ignore[operator]

    done = evaluator(channels)

    assert done.status == 1
    assert reason in done.reason


def test_a_class_without_pictures_is_told(evaluator: Evaluator, channels: dict[str, Path]) -> None:
    empty(channels["test"] / "001.Red")

    done = evaluator(channels)

    assert done.figures["pictures"] == 14
    assert done.report["figures"]["per_class"]["001.Red"]["accuracy"] is None
    assert "1 class without a picture to measure: 001.Red" in done.page


@pytest.mark.parametrize("by", ["environment", "command line"])
def test_steps_are_priced_where_the_price_is_known(evaluator: Evaluator, channels: dict[str, Path], by: str) -> None:
    # given the two ways a JSON hyperparameter arrives: SageMaker's toolkit spoils it on the command line
    steps = [STEP, STEP | {"instance_type": "ml.new.large"}]
    by_environment = {"SM_HP_STEPS": json.dumps(steps), "SM_CURRENT_INSTANCE_TYPE": "ml.m5.large"}
    more: dict[str, str] = by_environment if by == "environment" else {}

    done = evaluator(channels, more, steps=str(steps) if more else json.dumps(steps))

    assert done.status == 0, done.err
    assert [one["cost"] for one in done.report["steps"][:2]] == [pytest.approx(1.408 / 4), None]
    # then this evaluation's own cost so far is in it where it runs on an instance
    own = done.report["steps"][2:]
    assert [one["step"] for one in own] == (["Evaluate"] if more else [])
    assert done.report["cost"]["by_time"] == [one["step"] for one in own]
    assert done.report["cost"]["usd"] == pytest.approx(1.408 / 4 + sum(one["cost"] for one in own), abs=1e-5)
    assert done.report["cost"]["unpriced"] == ["Train"]
    assert "price unknown" in done.page


@pytest.mark.parametrize(
    ("hyperparameters", "reason"),
    [
        ({"epochs": "3"}, "hyperparameters: unrecognized arguments: --epochs 3"),
        ({"run_name": "no spaces"}, "hyperparameters: run_name 'no spaces' is not a name"),
        ({"split": "train"}, "hyperparameters: argument --split: invalid choice"),
        ({"max_bad_share": "2"}, "hyperparameters: max_bad_share 2.0 is not from 0 to 1"),
        ({"steps": "[{}]"}, "steps is no JSON list of the pipeline's steps: steps[0] has no step"),
        ({"steps": json.dumps([STEP | {"instances": 0}])}, "needs an instance"),
        ({"steps": "nonsense"}, "steps is no JSON list"),
    ],
)
def test_hyperparameters_that_make_no_sense_are_refused(
    evaluator: Evaluator, channels: dict[str, Path], hyperparameters: dict[str, str], reason: str
) -> None:
    done = evaluator(channels, None, **hyperparameters)

    assert done.status == 1
    assert reason in done.reason


def test_trials_that_cannot_be_read_are_told_and_nothing_else_suffers(
    evaluator: Evaluator, channels: dict[str, Path], tmp_path: Path
) -> None:
    channels["tuning"] = tmp_path / "tuning"
    channels["tuning"].mkdir()
    (channels["tuning"] / "trials.json").write_text('{"strategy": "random"}')

    done = evaluator(channels)

    assert done.status == 0
    assert done.report["tuning"] is None
    assert done.report["problems"] == ["The trials of the tuning are not shown: trials.json has no objective."]


def test_as_a_process_it_leaves_its_results_and_nothing_beside_them(channels: dict[str, Path], tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    environ = environment(tmp_path / "result", channels) | {"TMPDIR": str(scratch)}

    done = subprocess.run(
        command(run_name="colours-1"), env=environ, cwd=scratch, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert sorted(path.name for path in (tmp_path / "result").iterdir()) == [
        "drift.json",
        "figures.json",
        "report.html",
        "report.json",
    ]
    assert not list(scratch.iterdir())
