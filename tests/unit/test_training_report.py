"""report.json and report.html: what they tell, what hostile data cannot do to them, and how large they get."""

from __future__ import annotations

import base64
import io
import json
import typing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from serving.preprocess import Preprocess
from tests.unit.evaluate_world import Evaluated, Evaluator, pack
from tests.unit.report_world import Page, drawn_incumbent, drawn_report, drawn_steps, drawn_tuning
from tests.unit.training_world import draw_data, run_job, shape
from training.data import Picture
from training.evaluation_shape import Report
from training.pictures import THUMBNAIL_BYTES, THUMBNAIL_SIDE, thumbnail
from training.report import write_report
from training.report_page import MAX_PAGE_BYTES, page

HOSTILE = (
    "<script>alert(1)<",
    '"><img src=x onerror=alert(1)>',
    "a & b' onload='x",
    "turned\u202eround",
    "no utf-8 \udcff",
    "two\nlines",
)


class Silent:
    """In the place of capsys, for a job that is shared by a module's tests."""

    def readouterr(self) -> Any:
        return type("Told", (), {"out": "", "err": ""})


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Evaluated:
    """An evaluation against itself, with trials and steps, of a model whose class 2 is named to hurt.

    Test pictures of class 0 show a blue box, and one file of the test split is bad.
    """
    data = draw_data(tmp_path_factory.mktemp("pictures") / "data")
    folder = tmp_path_factory.mktemp("job")
    for split in ("train", "valid", "test"):
        (data / split / "003.Green_tent").rename(data / split / "003.<b onclick='x'>Tent<")
    told = Image.Exif()
    told[0x010E] = "where I live"
    for path in (data / "test" / "001.Red_disc").iterdir():
        shape(1, path.name).save(path, "JPEG", exif=told)
    (data / "test" / "001.Red_disc" / "<i>cut.jpg").write_bytes(b"\xff\xd8\xff")
    (folder / "tuning").mkdir()
    (folder / "tuning" / "trials.json").write_text(json.dumps(drawn_tuning([0.5, None, 0.3], name="<i>")))
    with pytest.MonkeyPatch.context() as patch:
        trained = run_job(patch, data, folder)
        assert trained.status == 0
        channel = pack(trained.model, folder / "channel")
        channels = {"test": data / "test", "candidate": channel, "incumbent": channel, "tuning": folder / "tuning"}
        steps = {"SM_HP_STEPS": json.dumps(drawn_steps()["steps"])}
        done = Evaluator(patch, Silent(), folder)(channels, steps, max_bad_share="0.2")
    assert done.status == 0
    return done


@pytest.fixture(scope="module")
def text(job: Evaluated) -> str:
    return job.page


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


def test_the_surest_mistakes_are_shown_as_small_photographs(job: Evaluated, text: str) -> None:
    mistakes = job.report["figures"]["mistakes"]

    assert {one["file"].split("/")[1] for one in mistakes} >= {"001.Red_disc"}
    assert len(mistakes) == job.report["figures"]["wrong"] >= 3
    shares = [one["probability"] for one in mistakes]
    assert shares == sorted(shares, reverse=True)
    found = Page(text)
    captions = [element.words for element in found.all("figcaption") if "Answer" in element.words]
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
    assert any(row.startswith("test/001.Red_disc/<i>cut.jpg") for row in rows)
    assert any(row.startswith("<b onclick='x'>Tent<") for row in rows)
    assert not found.all("b", "i")


@pytest.mark.parametrize("name", HOSTILE)
def test_no_name_can_become_markup_or_break_the_page(tmp_path: Path, name: str) -> None:
    report = drawn_report(
        [name, "plain"], certainty=0.5, bad=[{"name": f"train/{name}", "kind": "corrupt", "reason": name}]
    )
    report["run"] = report["model"]["version"] = report["model"]["backbone"] = report["created"] = name
    report["problems"] = [name]
    report["incumbent"] = incumbent = drawn_incumbent([name, "plain"], gained=1, lost=1)
    incumbent["run"] = name
    report["tuning"] = tuning = drawn_tuning([0.5, None, 0.3], name=name)
    tuning["strategy"] = tuning["objective"] = name
    for trial in tuning["trials"]:
        trial["values"] = {name: trial["name"], "plain": name}
    report["steps"] = [{**step, "step": name, "instance_type": name} for step in drawn_steps()["steps"]]

    write_report(tmp_path, report, (), Preprocess())

    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert_harmless(Page(text))
    assert name not in text  # each of them has something that must not stand there as it is


def test_the_report_has_the_documented_shape(job: Evaluated) -> None:
    assert job.report["incumbent"]
    assert job.report["tuning"]
    assert_shape(job.report, Report, "report")


def assert_shape(value: Any, wanted: Any, where: str) -> None:
    """JSON against TypedDicts: every key there is, and no other, is documented; lists, maps and null as they say."""
    origin, parts = typing.get_origin(wanted), typing.get_args(wanted)
    if typing.is_typeddict(wanted):
        hints = typing.get_type_hints(wanted)
        assert set(value) == set(hints), where
        for name, hint in hints.items():
            assert_shape(value[name], hint, f"{where}.{name}")
    elif origin is typing.Literal:
        assert value in parts, where
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


def test_a_model_without_mistakes_is_told_so() -> None:
    text = page(drawn_report(["a", "b"], certainty=50), {})

    assert "all 12 pictures were told right" in text
    assert not Page(text).all("img")


def test_a_mistake_whose_picture_is_gone_is_still_told(tmp_path: Path) -> None:
    report = drawn_report(["a", "b"], certainty=0.5)
    gone = [Picture(one["file"], tmp_path / one["file"], 0) for one in report["figures"]["mistakes"]]

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

    report["incumbent"] = incumbent = drawn_incumbent(classes, gained=100, lost=100)
    report["tuning"] = drawn_tuning([0.5, None] * 500, name='"' * 200)
    changes = (*incumbent["newly_wrong"], *incumbent["newly_right"])

    text = page(report, dict.fromkeys((one["file"] for one in (*report["figures"]["mistakes"], *changes)), small))

    assert len(Page(text).all("img")) == 24 + 16
    assert len(text.encode()) <= MAX_PAGE_BYTES
    assert "5000 files could not be used; the first 100 of them, report.json has all" in text


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


def test_one_epoch_can_be_drawn() -> None:
    assert "Epoch 1 of 1 is shipped" in page(drawn_report(["a", "b"], epochs=1), {})
