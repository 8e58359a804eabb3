"""What MiniStack keeps, its tables and the versions of its objects: written, and no more than what is new."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ministack.core import persistence

from local_aws import durable, objects


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where MiniStack's tables are kept."""
    monkeypatch.setattr(persistence, "PERSIST_STATE", True)
    monkeypatch.setattr(persistence, "STATE_DIR", str(tmp_path))
    monkeypatch.setattr(durable, "_written", {})
    return tmp_path


def test_a_table_is_read_by_ministack_as_it_was_written(folder: Path) -> None:
    table = {"parameters": {"/dog": {"Value": "Pekingese ü", "raw": b"\xff"}}, "count": 2}

    durable.save({"ssm": lambda: table})

    assert persistence.load_state("ssm") == table
    assert [path.name for path in folder.iterdir()] == ["ssm.json"]


def test_only_a_table_that_has_changed_is_written_again(folder: Path) -> None:
    table = {"count": 1}
    durable.save({"ssm": lambda: table, "sns": dict})
    before = {path.name: path.stat().st_ino for path in folder.iterdir()}

    table["count"] = 2
    durable.save({"ssm": lambda: table, "sns": dict})

    assert {path.name for path in folder.iterdir() if path.stat().st_ino != before[path.name]} == {"ssm.json"}
    assert persistence.load_state("ssm") == {"count": 2}


def test_a_table_that_cannot_be_written_is_told_and_the_others_are_written(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    durable.save({"ssm": lambda: {"what": object()}, "sns": dict})

    assert "ssm was not saved" in caplog.text
    assert [path.name for path in folder.iterdir()] == ["sns.json"]


class Versions:
    """MiniStack's S3 with an object of 500 versions, all on disk, the last two still in memory as well."""

    def __init__(self) -> None:
        self.versions: list[dict[str, Any]] = [{"version_id": str(number), "data": None} for number in range(498)]
        self.versions += [{"version_id": "498", "data": b"old"}, {"version_id": "499", "data": b"new"}]
        self._object_versions = {("bucket", "key"): self.versions}
        self.looked: list[str] = []

    def _persist_object(self, bucket: str, key: str, record: Any) -> None:
        record["body"] = None

    def _version_file_exists(self, bucket: str, key: str, version: str) -> bool:
        self.looked.append(version)
        return True


def test_an_object_costs_the_same_however_many_versions_it_has() -> None:
    service = Versions()

    objects.persisted(service)("bucket", "key", {"version_id": "499", "body": b"new"})

    assert [one for one in service.versions if one["data"] is not None] == []
    assert service.looked == ["498"]
