"""Why the script of a training job failed, out of its last lines on stderr."""

from __future__ import annotations

from local_aws.sagemaker.script import explanation


def test_the_script_s_sentence_is_told_though_a_library_speaks_after_it() -> None:
    lines = ["error: the first try", "error: rank 1 has no data", "terminate called without an active exception"]

    assert explanation(lines) == "error: rank 1 has no data"


def test_without_a_sentence_nothing_is_taken_for_one() -> None:
    assert explanation(["Traceback (most recent call last):", "ValueError: error: inside"]) is None
