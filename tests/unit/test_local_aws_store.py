"""The tables of our own services: what a change left is on disk when it has ended, and only that is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from local_aws.store import Store


def reopened(path: Path, name: str = "models") -> dict[str, dict[str, object]]:
    """A table as a new process finds it."""
    return dict(Store(path).table(name))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "store.db"


@pytest.fixture
def store(path: Path) -> Store:
    """Two models, b before a."""
    store = Store(path)
    with store.change():
        store.table("models")["b"] = {"x": 1, "more": [None, "ü"]}
        store.table("models")["a"] = {"x": 2}
    return store


def test_what_was_put_in_is_there_in_its_order(store: Store, path: Path) -> None:
    assert list(reopened(path).items()) == [("b", {"x": 1, "more": [None, "ü"]}), ("a", {"x": 2})]
    assert reopened(path, "jobs") == {}


def test_a_record_changed_in_its_place_keeps_its_place(store: Store, path: Path) -> None:
    with store.change():
        store.table("models")["b"].update(x=3)
        store.table("models").changed.append("b")

    assert list(reopened(path).items()) == [("b", {"x": 3, "more": [None, "ü"]}), ("a", {"x": 2})]
    assert store.unwritten() == []


def test_what_was_taken_out_is_gone_and_comes_last_when_it_comes_again(store: Store, path: Path) -> None:
    with store.change():
        assert store.table("models").pop("b")["x"] == 1
    assert list(reopened(path)) == ["a"]

    with store.change():
        store.table("models")["b"] = {}
    assert list(reopened(path)) == list(store.table("models")) == ["a", "b"]


def test_a_change_within_a_change_is_written_with_the_outer_one(store: Store, path: Path) -> None:
    with store.change():
        with store.change():
            store.table("models")["c"] = {}
        assert "c" not in reopened(path)

    assert "c" in reopened(path)


def test_what_a_change_that_fails_has_left_is_written_with_the_next(store: Store, path: Path) -> None:
    with pytest.raises(KeyError), store.change():
        store.table("models")["c"] = {}
        del store.table("models")["d"]
    assert "c" not in reopened(path)

    with store.change():
        pass
    assert "c" in reopened(path)


def test_a_record_that_is_no_json_leaves_the_file_as_it_was(store: Store, path: Path) -> None:
    with pytest.raises(TypeError), store.change():
        store.table("models")["b"]["x"] = 9
        store.table("models").changed.append("b")
        store.table("models")["c"] = {"path": path}
    assert reopened(path)["b"]["x"] == 1

    with store.change():
        del store.table("models")["c"]
    assert reopened(path)["b"]["x"] == 9


def test_a_record_that_was_changed_behind_its_table_is_named(store: Store) -> None:
    store.table("models")["a"]["x"] = 5

    assert store.unwritten() == ["models a"]
