"""What benchmarks/load.py makes of what it saw."""

from __future__ import annotations

import json
import math

import pytest

from benchmarks import load
from benchmarks.parts.open_loop import Answer


def answers(second: float, status: int = 200, took: float = 0.01) -> list[Answer]:
    return [Answer(second + n / 10, 0.0, took, status, right=True, retry_after=False) for n in range(10)]


def test_recovery_is_the_first_of_three_good_seconds_in_a_row() -> None:
    good = [one for second in range(2, 9) for one in answers(100.0 + second)]
    bad = answers(100.0, status=503) + answers(101.0)
    late = answers(104.0, took=3.0)

    assert load.recovered(bad + good, 100.0, limit_ms=20) == 1
    assert load.recovered(bad + [one for one in good if int(one.due) != 104] + late, 100.0, limit_ms=20) == 1
    assert load.recovered(answers(100.0, took=3.0) + late + answers(105.0), 100.0, limit_ms=20) == math.inf


def test_an_answer_is_right_when_its_logits_are_those_of_its_own_picture() -> None:
    expected = load.Expected([b"one", b"two"], [[1.0, 2.0], [1.0, 3.0]])

    assert expected.right(0, json.dumps({"logits": [1.0, 2.01]}).encode())
    for wrong in (b'{"logits": [1.0, 3.0]}', b'{"logits": [1.0]}', b'{"logits": []}', b"{}", b"[]", b""):
        assert not expected.right(0, wrong)
    assert expected.nearest() == 1.0


def test_the_slope_is_of_the_second_half() -> None:
    looks = [load.Look(float(second), 100.0 + min(second, 50) + second / 3600, 0.0) for second in range(100)]
    assert load.slope(looks) == pytest.approx(1.0)


def test_cpu_time_is_told_for_each_request_that_ended_in_five_seconds() -> None:
    # given ten answers a second, and twice the CPU time from the fifth second on
    steady = [one for second in range(11) for one in answers(100.0 + second, took=0.05)]
    looks = [load.Look(float(second), 100.0, 0.2 * second + 0.2 * max(0, second - 5)) for second in range(11)]
    assert load.cpu_ms(steady, looks) == pytest.approx([20.0, 40.0])
