"""report.json and report.html: what they tell, what hostile data cannot do to them, and how large they get."""

from __future__ import annotations

import base64
import io
import re
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from serving.preprocess import Preprocess
from tests.unit.report_world import Page, drawn_report, drawn_split
from tests.unit.training_world import Job, draw_data, run_job, shape
from training.data import Picture
from training.evaluate import interval
from training.pictures import THUMBNAIL_BYTES, THUMBNAIL_SIDE, thumbnail
from training.report import write_report
from training.report_page import MAX_PAGE_BYTES, page
from training.report_plots import axis
from training.report_shape import Report

HOSTILE = (
    "<script>alert(1)<",
    '"><img src=x onerror=alert(1)>',
    "a & b' onload='x",
    "turned\u202eround",
    "no utf-8 \udcff",
    "two\nlines",
)


@pytest.fixture(scope="module")
def patch() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as context:
        yield context


@pytest.fixture(scope="module")
def job(patch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Job:
    """A run whose class 2 is named to hurt, with a bad file, and with test pictures of class 0 that show a blue box."""
    data = draw_data(tmp_path_factory.mktemp("pictures") / "data")
    for split in ("train", "valid", "test"):
        (data / split / "003.Green_tent").rename(data / split / "003.<b onclick='x'>Tent<")
    (data / "train" / "001.Red_disc" / "<i>cut.jpg").write_bytes(b"\xff\xd8\xff")
    told = Image.Exif()
    told[0x010E] = "where I live"
    for path in (data / "test" / "001.Red_disc").iterdir():
        shape(1, path.name).save(path, "JPEG", exif=told)
    done = run_job(patch, data, tmp_path_factory.mktemp("job"), max_bad_share="0.1")
    assert done.status == 0
    return done


@pytest.fixture(scope="module")
def text(job: Job) -> str:
    return (job.folder / "output" / "report.html").read_text(encoding="utf-8")


def pictures_of(found: Page) -> list[bytes]:
    start = "data:image/jpeg;base64,"
    sources = [element.attributes["src"] for element in found.all("img")]
    assert all(source.startswith(start) for source in sources)
    return [base64.b64decode(source.removeprefix(start), validate=True) for source in sources]


def assert_harmless(found: Page) -> None:
    """Nothing runs and nothing is loaded."""
    assert not found.all("script", "link", "iframe", "object", "embed", "form", "base", "use", "image", "foreignobject")
    for element in found.elements:
        assert not [name for name in element.attributes if name.startswith("on") or name == "style"]
        assert element.attributes.get("href", "#").startswith("#")
    pictures_of(found)
    (style,) = found.all("style")
    assert "url(" not in style.words
    assert "@import" not in style.words


def test_the_page_needs_nothing_beside_itself(text: str) -> None:
    assert_harmless(Page(text))
    assert "default-src 'none'" in text.replace("&#x27;", "'")


def test_the_page_can_be_read_without_seeing_it(text: str) -> None:
    found = Page(text)

    ids = [element.attributes["id"] for element in found.elements if "id" in element.attributes]
    assert len(ids) == len(set(ids))
    targets = [element.attributes["href"].removeprefix("#") for element in found.all("a")]
    assert set(targets) <= set(ids)
    assert {element.attributes["aria-labelledby"] for element in found.all("section")} <= set(ids)
    assert len(found.all("h1")) == len(found.all("main")) == len(found.all("nav")) == 1
    assert len(found.all("caption")) == len(found.all("table"))
    assert all(element.attributes["alt"] for element in found.all("img"))
    for drawing in found.all("svg"):
        assert drawing.attributes.get("aria-label") or drawing.attributes["aria-hidden"] == "true"
    scrolled = [one.attributes for one in found.all("div") if one.attributes.get("class") == "scroll"]
    assert all(one["tabindex"] == "0" and one["aria-label"] for one in scrolled)


def test_the_surest_mistakes_are_shown_as_small_photographs(job: Job, text: str) -> None:
    mistakes = job.report["test"]["mistakes"]

    assert {one["file"].split("/")[1] for one in mistakes} >= {"001.Red_disc"}
    assert len(mistakes) == job.report["test"]["wrong"] >= 3
    shares = [one["probability"] for one in mistakes]
    assert shares == sorted(shares, reverse=True)
    found = Page(text)
    captions = [element.words for element in found.all("figcaption")][: len(mistakes)]
    for one, caption in zip(mistakes, captions, strict=True):
        assert caption.startswith("Is Red disc" if "Red_disc" in one["file"] else "Is ")
        assert f"{one['probability']:.1%}" in caption
    for jpeg in pictures_of(found):
        with Image.open(io.BytesIO(jpeg)) as picture:
            assert max(picture.size) <= THUMBNAIL_SIDE
            assert not picture.getexif()  # where a picture was taken is not for the report's readers


def test_bad_files_and_hostile_classes_are_named_as_text(text: str) -> None:
    found = Page(text)

    rows = [row.words for row in found.all("tr")]
    assert any(row.startswith("train/001.Red_disc/<i>cut.jpg") for row in rows)
    assert any(row.startswith("<b onclick='x'>Tent<") for row in rows)
    assert not found.all("b", "i")


@pytest.mark.parametrize("name", HOSTILE)
def test_no_name_can_become_markup_or_break_the_page(tmp_path: Path, name: str) -> None:
    report = drawn_report(
        [name, "plain"], certainty=0.5, bad=[{"name": f"train/{name}", "kind": "corrupt", "reason": name}]
    )

    write_report(tmp_path, report, (), Preprocess())

    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert_harmless(Page(text))
    assert name not in text  # each of them has something that must not stand there as it is


def test_the_report_has_the_documented_shape(job: Job) -> None:
    assert_shape(job.report, Report, "report")


def assert_shape(value: Any, wanted: Any, where: str) -> None:
    """JSON against TypedDicts: every key there is, and no other, is documented; lists, maps and null as they say."""
    origin, parts = typing.get_origin(wanted), typing.get_args(wanted)
    if typing.is_typeddict(wanted):
        hints = typing.get_type_hints(wanted)
        assert set(value) == set(hints), where
        for name, hint in hints.items():
            assert_shape(value[name], hint, f"{where}.{name}")
    elif type(None) in parts:
        if value is not None:
            assert_shape(value, next(part for part in parts if part is not type(None)), where)
    elif isinstance(value, list):
        assert origin is tuple or issubclass(origin, typing.Sequence), where
        for one in value:
            assert_shape(one, parts[0], where)
    elif isinstance(value, dict):
        for name, one in value.items():
            assert_shape(one, parts[1], f"{where}.{name}")
    elif wanted is not Any:
        assert isinstance(value, (float, int) if wanted is float else wanted), where


def test_without_a_test_split_the_page_shows_validation_and_says_so() -> None:
    with_test, without = (page(drawn_report(["a", "b"], tested=tested), {}) for tested in (True, False))

    assert "this page shows the validation split" in without
    assert "flatter" in without
    assert "this page shows the validation split" not in with_test
    assert "Measured on the test split" in with_test


def test_a_model_without_mistakes_is_told_so() -> None:
    text = page(drawn_report(["a", "b"], certainty=50), {})

    assert "all 12 pictures were told right" in text
    assert not Page(text).all("img")


def test_a_mistake_whose_picture_is_gone_is_still_told(tmp_path: Path) -> None:
    report = drawn_report(["a", "b"], certainty=0.5)
    gone = [Picture(one["file"], tmp_path / one["file"], 0) for one in report["test"]["mistakes"]]  # type: ignore[index]

    write_report(tmp_path, report, gone, Preprocess())

    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert text.count("The picture could not be read again.") == len(gone) > 0


def test_classes_that_would_read_the_same_go_by_their_folders() -> None:
    text = page(drawn_report(["1.Dog", "2.Dog"]), {})

    rows = [row.words for row in Page(text).all("tr")]
    assert {row[:5] for row in rows if "Dog" in row} == {"1.Dog", "2.Dog"}


@pytest.mark.parametrize(("count", "each"), [(133, 6), (133, 60), (600, 8)])
def test_the_page_stays_small_with_many_classes_long_names_and_noisy_pictures(
    tmp_path: Path, count: int, each: int
) -> None:
    # given nothing that compresses, names that all need escaping, and more of everything than is shown
    noise = np.random.default_rng(3).integers(0, 256, (300, 300, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    small = thumbnail(Picture("noise.png", tmp_path / "noise.png", 0), Preprocess())
    assert small is not None
    assert 5_000 < len(small.jpeg) <= THUMBNAIL_BYTES
    classes = [f"{n:04}" + '"' * 200 for n in range(count)]
    report = drawn_report(
        classes, each, 0.5, epochs=2000, bad=[{"name": '"' * 4000, "kind": "corrupt", "reason": '"' * 4000}] * 5000
    )

    text = page(report, dict.fromkeys((one["file"] for one in report["test"]["mistakes"]), small))  # type: ignore[index]

    assert len(Page(text).all("img")) == 24
    assert len(text.encode()) <= MAX_PAGE_BYTES
    assert "5000 files; the first 100 of them, report.json has all" in text


def test_all_of_133_classes_are_in_the_table_and_in_the_heat_map() -> None:
    classes = [f"{n:03}.Breed_{n}" for n in range(133)]

    text = page(drawn_report(classes), {})

    found = Page(text)
    heads = {element.words for element in found.all("th")}
    labels = {element.words for element in found.all("text")}
    assert {f"Breed {n}" for n in range(133)} <= heads & labels
    assert "of the rarest cells are not drawn" not in text


def test_a_thumbnail_keeps_the_shape_of_its_picture(tmp_path: Path) -> None:
    Image.new("RGB", (1200, 600)).save(tmp_path / "wide.jpg")

    small = thumbnail(Picture("wide.jpg", tmp_path / "wide.jpg", 0), Preprocess())

    assert small is not None
    assert (small.width, small.height) == (240, 120)


def test_each_class_says_what_it_was_most_often_taken_for() -> None:
    split = drawn_split([f"c{n}" for n in range(6)], 20, certainty=1.0)

    for label, (name, one) in enumerate(split["per_class"].items()):
        row = {f"c{n}": count for n, count in enumerate(split["confusion"][label]) if n != label}
        assert one["right"] + sum(row.values()) == one["pictures"] == 20
        confused = one["most_confused_with"]
        assert confused is not None
        assert confused["folder"] != name
        assert row[confused["folder"]] == confused["pictures"] == max(row.values())


def test_the_bins_of_the_reliability_diagram_make_up_the_calibration_error() -> None:
    split = drawn_split([f"c{n}" for n in range(6)], 40, certainty=1.5)

    bins = split["reliability"]
    assert len(bins) == 15
    assert sum(one["pictures"] for one in bins) == split["pictures"]
    gaps = [
        one["pictures"] * abs(one["accuracy"] - one["confidence"])
        for one in bins
        if one["accuracy"] is not None and one["confidence"] is not None
    ]
    assert sum(gaps) / split["pictures"] == pytest.approx(split["calibration_error"])
    for one in bins:
        assert one["confidence"] is None or one["low"] <= one["confidence"] <= one["high"]
        assert (one["confidence"] is None) == (one["pictures"] == 0)


@pytest.mark.parametrize(
    ("right", "count", "low", "high"), [(5, 10, 0.2366, 0.7634), (10, 10, 0.7225, 1.0), (0, 10, 0.0, 0.2775)]
)
def test_the_interval_is_wilsons(right: int, count: int, low: float, high: float) -> None:
    assert interval(right, count) == pytest.approx((low, high), abs=1e-4)


@pytest.mark.parametrize("values", [(0.0, 0.0), (1.0, 1.0), (0.3, 0.3), (0.93, 0.97), (1e-7, 2.3e-7), (0.2, 140.0)])
def test_an_axis_holds_its_values_with_a_few_round_ticks(values: tuple[float, float]) -> None:
    found = axis(values, most=1.0 if max(values) <= 1 else float("inf"))

    assert found.low <= min(values) < max(values) + 1e-12 <= found.high + 2e-12
    assert found.low < found.high
    assert 2 <= len(list(found.ticks())) <= 7
    assert re.fullmatch(r"[125]e[+-]\d+", f"{found.step:.0e}")


def test_one_epoch_can_be_drawn() -> None:
    assert "Epoch 1 of 1 is shipped" in page(drawn_report(["a", "b"], epochs=1), {})
