"""What the full demo shows: chapters on a terminal and in a log, and the timeline at the end."""

from __future__ import annotations

import io
import time

import pytest
from rich.console import Console

from tools.full_demo import Timeline, counted
from tools.progress import Progress


def console(width: int = 80, *, terminal: bool = False) -> Console:
    return Console(file=io.StringIO(), force_terminal=terminal, width=width, height=24, color_system=None)


def printed(console: Console) -> list[str]:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


@pytest.mark.parametrize("terminal", [False, True])
def test_a_chapter_has_its_title_once_and_its_own_steps_of_the_same_names(terminal: bool) -> None:
    # given two runs with a state of the same name
    shown = console(terminal=terminal)
    with Progress(shown) as progress:
        for title in ("on one instance", "on two"):
            progress.chapter(title)
            progress.begin("Train")
            time.sleep(0.06)
            progress.end("Train")
    # then each stands below its own title, the first one's lines still there
    lines = [line.strip() for line in printed(shown)]
    assert lines.count("on one instance") == lines.count("on two") == 1
    first, second = lines.index("on one instance"), lines.index("on two")
    assert any("Train" in line for line in lines[first:second])
    assert any("Train" in line for line in lines[second:])


def test_what_a_small_terminal_had_no_room_for_is_there_in_the_end() -> None:
    # given more steps than the terminal has lines
    shown = console(terminal=True)
    names = [f"State{number:02}" for number in range(30)]
    with Progress(shown) as progress:
        for name in names:
            with progress.step(name):
                time.sleep(0.06)
    # then the last picture of it has them all, in order
    lines = [line for line in printed(shown) if "State" in line][-len(names) :]
    assert [name for name, line in zip(names, lines, strict=True) if name not in line] == []


def test_a_chapter_that_fails_marks_only_its_own_step() -> None:
    shown = console()
    with pytest.raises(RuntimeError), Progress(shown) as progress:
        progress.chapter("on one instance")
        progress.begin("Train")
        progress.end("Train")
        progress.chapter("on two")
        progress.begin("Train")
        raise RuntimeError
    assert sum("Train failed" in line for line in printed(shown)) == 1


@pytest.mark.parametrize("width", [80, 120])
def test_the_timeline_has_a_line_a_part_with_a_bar_where_it_lies_in_the_whole(width: int) -> None:
    # given parts of which the last is short and at the very end
    timeline = Timeline()
    timeline.parts = [("build and deploy the stack", 0, 30), ("train on EC2", 30, 68), ("tear down", 99.6, 0.4)]
    shown = console(width)
    # when it is shown
    shown.print(timeline.table(shown.width))
    # then every part has one line with whole words, and bars follow each other and end where the line ends
    lines = printed(shown)
    assert [line.split("  ")[0] for line in lines] == ["build and deploy the stack", "train on EC2", "tear down"]
    assert ["30 s" in lines[0], "68 s" in lines[1], "0 s" in lines[2]] == [True, True, True]
    begins = [line.index("█") for line in lines]
    ends = [line.rindex("█") + 1 for line in lines]
    assert begins[0] < ends[0] <= begins[1] + 1 < ends[1] <= begins[2] + 1 <= ends[2] <= width
    assert "…" not in "".join(lines)


def test_a_part_that_fails_is_not_in_the_timeline() -> None:
    timeline = Timeline()
    with pytest.raises(RuntimeError), timeline.part("tear down"):
        raise RuntimeError
    assert timeline.parts == []


def test_one_thing_is_not_called_by_its_plural() -> None:
    assert [counted(count, "endpoint configs") for count in (1, 3)] == ["1 endpoint config", "3 endpoint configs"]
