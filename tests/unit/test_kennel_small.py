"""The small modules of the layer: names, S3 addresses, settings, errors, pictures."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest
from kennel import errors, images, naming, s3uri, settings

NAME = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9])*")


# --- Names ------------------------------------------------------------------------------------------------------------


def test_derived_names_are_always_valid_and_short() -> None:
    rng = random.Random(1)
    alphabet = "abcXYZ019-_ ./:é犬\n"
    for _ in range(20_000):
        original = "".join(rng.choices(alphabet, k=rng.randrange(0, 120)))
        limit = rng.randrange(9, 64)
        name = naming.derive(original, limit)
        assert NAME.fullmatch(name), original
        assert len(name) <= limit


def test_different_originals_never_become_one_name() -> None:
    rng = random.Random(1)
    originals = {"".join(rng.choices("ab-_", k=rng.randrange(1, 90))) for _ in range(20_000)}
    assert len({naming.derive(original, 24) for original in originals}) == len(originals)


def test_a_valid_name_is_left_alone() -> None:
    assert naming.derive("kennel-local") == "kennel-local"


def test_runs_of_one_label_get_different_names() -> None:
    started = "2026-11-20T10:00:00.123Z"
    names = {naming.run_name("my-run", f"execution-{i}", started) for i in range(1000)}
    again = naming.run_name("my-run", "execution-1", "2026-11-20T10:00:01.123Z")
    assert len(names | {again}) == 1001
    assert all(name.startswith("my-run-") and len(name) <= 40 and NAME.fullmatch(name) for name in names)


def test_a_run_without_a_label_begins_with_its_start() -> None:
    name = naming.run_name(None, "b2c3d4e5", "2026-11-20T10:20:30.123Z")
    assert re.fullmatch(r"run-20261120-102030-[0-9a-f]{8}", name)


def test_resources_of_a_run_keep_its_whole_name() -> None:
    run = naming.run_name("x" * 31, "execution", "2026-11-20T10:00:00Z")
    for stack in ("k", "kennel-local", "a-very-long-stack-name-" * 6):
        name = naming.run_resource(stack, run)
        assert name.endswith(f"-{run}")
        assert len(name) <= 63
        assert NAME.fullmatch(name)


# --- S3 addresses -----------------------------------------------------------------------------------------------------


def test_s3_addresses_round_trip() -> None:
    for text in ("s3://kennel-data/", "s3://kennel-data/a", "s3://kennel-data/a b/c?d#e%20/ü.jpg", "s3://a.b-c/x//y"):
        assert str(s3uri.parse(text)) == text
    assert str(s3uri.parse("s3://kennel-data/a").folder()) == "s3://kennel-data/a/"
    assert str(s3uri.parse("s3://kennel-data").folder()) == "s3://kennel-data/"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "kennel-data/a",
        "S3://kennel-data/a",
        "https://kennel-data/a",
        "s3:/kennel-data/a",
        "s3:///a",
        "s3://ab/x",
        "s3://UPPER/x",
        "s3://under_score/x",
        "s3://-dash/x",
        "s3://dot..dot/x",
        "s3://192.168.0.1/x",
        "s3://user@bucket/x",
        "s3://kennel-data/a\nb",
        "s3://kennel-data/" + "k" * 1025,
    ],
)
def test_what_is_no_s3_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not of the form|has "):
        s3uri.parse(text)


# --- Settings ---------------------------------------------------------------------------------------------------------

COMPLETE = {
    "STACK_NAME": "kennel",
    "DATA_BUCKET": "kennel-data",
    "ARTIFACT_BUCKET": "kennel-artifacts",
    "ENDPOINT_NAME": "kennel",
    "CODE_URI": "s3://kennel-artifacts/code/x/source.tar.gz",
    "CODE_SHA256": "0" * 64,
    "SERVING_REPOSITORY_URI": "000000000000.dkr.ecr.us-east-1.amazonaws.com/kennel",
    "AWS_REGION": "us-east-1",
    "DEFAULTS": "{}",
    "OWN_BUCKETS": " kennel-data , kennel-artifacts,",
}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name, value in COMPLETE.items():
        monkeypatch.setenv(name, value)
    for name in ("MAX_IMAGE_BYTES", "URL_TIMEOUT_SECONDS"):
        monkeypatch.delenv(name, raising=False)
    settings.classify_settings.cache_clear()
    settings.validate_run_settings.cache_clear()
    return monkeypatch


def test_settings_are_read_once(environment: pytest.MonkeyPatch) -> None:
    first = settings.classify_settings()
    environment.delenv("ENDPOINT_NAME")
    assert settings.classify_settings() is first
    assert first.own_buckets == ("kennel-data", "kennel-artifacts")
    assert (first.max_image_bytes, first.url_timeout_seconds) == (4_500_000, 5.0)
    settings.classify_settings.cache_clear()


@pytest.mark.parametrize("name", sorted(set(COMPLETE) - {"OWN_BUCKETS"}))
def test_a_missing_variable_is_named(environment: pytest.MonkeyPatch, name: str) -> None:
    environment.setenv(name, " ")
    with pytest.raises(errors.SettingsError, match=f"environment variable {name} is not set"):
        settings.validate_run_settings()


@pytest.mark.parametrize(
    ("name", "value"), [("MAX_IMAGE_BYTES", "4 MB"), ("MAX_IMAGE_BYTES", "-1"), ("URL_TIMEOUT_SECONDS", "nan")]
)
def test_a_malformed_number_is_named(environment: pytest.MonkeyPatch, name: str, value: str) -> None:
    environment.setenv(name, value)
    with pytest.raises(errors.SettingsError, match=name):
        settings.classify_settings()


@pytest.mark.parametrize("value", ["{", "[]", "null"])
def test_malformed_defaults_are_named(environment: pytest.MonkeyPatch, value: str) -> None:
    environment.setenv("DEFAULTS", value)
    with pytest.raises(errors.SettingsError, match="DEFAULTS"):
        settings.validate_run_settings()


# --- Errors -----------------------------------------------------------------------------------------------------------


def test_every_error_is_drawn_in_the_tree_and_has_a_row_in_the_table() -> None:
    def descendants(kind: type[Exception]) -> set[type[Exception]]:
        return {kind}.union(*(descendants(child) for child in kind.__subclasses__()))

    drawn = errors.__doc__ or ""
    for kind in descendants(errors.KennelError):
        assert re.search(rf"\b{kind.__name__}\b", drawn), f"{kind.__name__} is not drawn"
    own_problem = {errors.RequestError, errors.RefusedByModel}
    assert descendants(errors.RequestError) - own_problem == set(errors.PROBLEMS)


def test_slugs_are_stable_and_unique() -> None:
    slugs = [problem.slug for problem in errors.PROBLEMS.values()]
    assert len(set(slugs)) == len(slugs)
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", slug) for slug in slugs)


# --- Pictures ---------------------------------------------------------------------------------------------------------


def test_pictures_are_known_by_their_first_bytes() -> None:
    assert images.sniff(b"\xff\xd8\xff\xe0") == "image/jpeg"
    assert images.sniff(b"\x89PNG\r\n\x1a\n") == "image/png"
    assert images.sniff(b"RIFF\x00\x00\x00\x00WEBP") == "image/webp"
    for other in (b"", b"GIF89a", b"RIFF\x00\x00\x00\x00WAVE", b"\x89PNG", b"<svg", b"BM", b"II*\x00"):
        assert images.sniff(other) is None


def test_the_layer_reads_no_environment_on_import() -> None:
    """The only module that may is settings, and it does so on first call."""
    for path in Path(naming.__file__).parent.glob("*.py"):
        if path.name != "settings.py":
            assert "os.environ" not in path.read_text(), path.name
