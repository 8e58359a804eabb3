"""tools.pipeline: what it says when no run can be started, and when it is interrupted."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tools import pipeline


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "no JSON file that can be read"), ("{", "no JSON file"), ("[1]", "holds no JSON object")],
)
def test_an_input_that_cannot_be_read_is_told_before_aws_is_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str | None, said: str
) -> None:
    file = tmp_path / "input.json"
    if content is not None:
        file.write_text(content)

    assert pipeline.main(["--stack", "nowhere", "--input", str(file)]) == 2

    error = capsys.readouterr().err
    assert error.startswith(f"error: {file} ")
    assert said in error


def test_an_interrupt_ends_it_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(pipeline, "describe_stack", lambda name: SimpleNamespace(state_machines={"pipeline": "arn"}))
    monkeypatch.setattr(pipeline, "start", lambda machine, run_input: "execution")
    monkeypatch.setattr(pipeline, "follow", interrupted)

    assert pipeline.main([]) == 130

    assert capsys.readouterr().err == "interrupted: the run was stopped\n"
