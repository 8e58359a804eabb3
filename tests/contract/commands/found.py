"""Every command of a page: lines of its code blocks, and spans of code that begin with a program."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PROGRAMS = {"aws", "cd", "curl", "export", "git", "make", "mkdir", "pytest", "python", "sam", "tar", "unset"}
# What would be a command, too, if a page had it: a line that begins so and is not read as one fails a test.
FOREIGN = {"bash", "cat", "cp", "docker", "mv", "npm", "pip", "rm", "sh", "source", "sudo", "uv", "wget"}
_FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)
_INDENTED = re.compile(r"(?:^    .*\n)+", re.M)
_SPAN = re.compile(r"`([^`\n]+)`")
_ASSIGNED = re.compile(r"[A-Z][A-Z0-9_]*=\S*")
# A span that leaves something to the reader (`...`, a choice, a lone program's name) is prose, not a command.
_SKETCH = re.compile(r"[…|\[\]]|\.\.\.")


@dataclass(frozen=True)
class Block:
    """A code block, without its indent; `kind` is the word behind its fence."""

    lines: tuple[str, ...]
    kind: str = ""


def blocks(text: str) -> Iterator[Block]:
    """The code blocks of a page, fenced ones and indented ones."""
    for kind, body in _FENCED.findall(text):
        yield Block(tuple(body.splitlines()), kind)
    for body in _INDENTED.findall(_FENCED.sub("", text)):
        yield Block(tuple(line[4:] for line in body.splitlines()))


def commands(path: Path) -> list[str]:
    """Every command that the page shows, as it would be typed: without a prompt, a comment and what it prints."""
    text = path.read_text(encoding="utf-8")
    shown = [command for block in blocks(text) for command in in_block(block)]
    prose = _INDENTED.sub("", _FENCED.sub("", text))
    spans = [span for span in _SPAN.findall(prose) if program(span) and " " in span and not _SKETCH.search(span)]
    return list(dict.fromkeys(shown + spans))


def in_block(block: Block) -> list[str]:
    """A block is a session when it has prompts, else all of its lines are commands when the first one is."""
    lines = [line for line in "\n".join(block.lines).replace("\\\n", " ").splitlines() if line.strip()]
    prompted = [line[2:] for line in lines if line.startswith("$ ")]
    typed = prompted or (lines if lines and program(lines[0]) else [])
    return [re.sub(r"\s+", " ", re.sub(r"\s+# .*", "", line)).strip() for line in typed]


def program(line: str) -> str:
    """The program that a line calls, without its folder and what is set for it; "" when it calls none that is known."""
    words = line.split()
    while len(words) > 1 and _ASSIGNED.fullmatch(words[0]):
        words.pop(0)
    name = words[0] if words else ""
    for folder in (".venv/bin/", ".venv-sam/bin/"):
        if name.startswith(folder):
            return name.removeprefix(folder)
    return name if name in PROGRAMS else ""
