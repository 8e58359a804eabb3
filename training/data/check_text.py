"""The findings of a check, for people and for machines."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from training.data import SPLITS
from training.data.check import Copies, File, Findings

NAMED = 10  # of a kind on the terminal; the JSON has them all
TOGETHER = 4  # of a group of copies on the terminal


def verdict(findings: Findings) -> str:
    """One line: whether to go on, and else what to do first."""
    if findings.ready:
        return "ready: nothing was found that would spoil training or its evaluation"
    counts = (
        (len(findings.lacking), "part missing", "parts missing"),
        (len(findings.bad), "unusable file", "unusable files"),
        (len(findings.leaks), "leak between splits", "leaks between splits"),
        (len(findings.conflicts), "label conflict", "label conflicts"),
    )
    found = ", ".join(f"{count:,} {one if count == 1 else many}" for count, one, many in counts if count)
    return f"not ready: {found}; mend what is named above, then check again"


def as_text(findings: Findings) -> str:
    """All of it, in lines; the verdict is the last."""
    blocks = (
        _classes(findings),
        _pictures(findings),
        _lacking(findings),
        _bad(findings),
        _copies("Leaks between splits", findings.leaks, "keep one copy: that of test/, else that of valid/"),
        _copies("Label conflicts", findings.conflicts, "the same under two classes: keep the one whose label is right"),
        _copies("Copies within a class of a split", findings.repeated, "they only weigh more than others"),
        [f"verdict: {verdict(findings)}"],
    )
    return "\n\n".join("\n".join(lines) for lines in map(list, blocks) if lines)


def as_document(findings: Findings) -> dict[str, object]:
    """The same for JSON, with nothing left out. Files are named by their paths within the data set."""
    return {
        "ready": findings.ready,
        "verdict": verdict(findings),
        "data_version": findings.version,
        "pictures": {
            name: {split: findings.counts[split][label] for split in SPLITS}
            for label, name in enumerate(findings.dataset.classes)
        },
        "missing": list(findings.lacking),
        "unusable": [
            {"file": file.picture.name, "kind": file.reading.kind, "reason": file.reading.reason}
            for file in findings.bad
        ],
        "leaks": [_group(copies) for copies in findings.leaks],
        "conflicts": [_group(copies) for copies in findings.conflicts],
        "copies": [_group(copies) for copies in findings.repeated],
        "input_size": findings.input_size,
        "small": [{"file": file.picture.name, "size": file.reading.size} for file in findings.small],
        "notes": {file.picture.name: list(file.reading.notes) for file in findings.good if file.reading.notes},
        "ignored": list(findings.dataset.ignored),
    }


def _group(copies: Copies) -> dict[str, object]:
    return {
        "files": [file.picture.name for file in copies.files],
        "same_bytes": copies.same_bytes,
        "likeness": round(copies.likeness, 4),
    }


def _classes(findings: Findings) -> Iterator[str]:
    names = [printable(name) for name in findings.dataset.classes]
    width = max(map(len, names))
    yield f"{'':{width}} {''.join(f'{split:>7}' for split in SPLITS)}"
    for label, name in enumerate(names):
        yield f"{name:{width}} {''.join(f'{findings.counts[split][label]:>7,}' for split in SPLITS)}"
    yield f"{'all':{width}} {''.join(f'{sum(findings.counts[split]):>7,}' for split in SPLITS)}"


def _pictures(findings: Findings) -> Iterator[str]:
    """What the pictures are like: how evenly spread, how large, how odd."""
    yield f"classes    {len(findings.dataset.classes):,}; {_balance(findings)}"
    if findings.good:
        sizes = sorted((file.reading.size or (0, 0) for file in findings.good), key=lambda size: size[0] * size[1])
        smallest, middle, largest = (f"{width} x {height}" for width, height in _three(sizes))
        yield f"sizes      {smallest} to {largest} pixels, median {middle}"
    if findings.small:
        names = _some(file.picture.name for file in findings.small)
        limit = f"{findings.input_size / 2:g} pixels, half of what the model takes"
        yield f"small      {len(findings.small):,} with a side below {limit}: {names}"
    kinds = Counter(note.partition(":")[0] for file in findings.good for note in file.reading.notes)
    if kinds:
        yield f"odd        {'; '.join(f'{count:,} {kind}' for kind, count in kinds.most_common())}; used all the same"
    if findings.dataset.ignored:
        yield f"left aside {len(findings.dataset.ignored):,}: {_some(findings.dataset.ignored)}"
    yield f"version    {findings.version or 'unknown, because files cannot be read'}"


def _balance(findings: Findings) -> str:
    """How the training pictures are spread over the classes."""
    counts = findings.counts["train"]
    least, most = min(counts), max(counts)
    if least == most:
        return f"{most:,} training pictures in each"
    rare, common = (printable(findings.dataset.classes[counts.index(count)]) for count in (least, most))
    times = f", {most / least:.1f} times as many" if least else ""
    return f"{least:,} ({rare}) to {most:,} ({common}) training pictures in each{times}"


def _lacking(findings: Findings) -> Iterator[str]:
    if findings.lacking:
        yield f"Missing: {len(findings.lacking):,}; add pictures"
        yield from _listed(printable(sentence) for sentence in findings.lacking)


def _bad(findings: Findings) -> Iterator[str]:
    if findings.bad:
        yield f"Unusable files: {len(findings.bad):,}; mend or delete them"
        yield from _listed(
            f"{printable(file.picture.name)}: {file.reading.kind}: {file.reading.reason}" for file in findings.bad
        )


def _copies(title: str, found: Sequence[Copies], advice: str) -> Iterator[str]:
    if found:
        yield f"{title}: {len(found):,}; {advice}"
        yield from _listed(_line(copies) for copies in found)


def _line(copies: Copies) -> str:
    how = "same bytes" if copies.same_bytes else f"alike {copies.likeness:.3f}"
    return f"{how}: {_some((file.picture.name for file in _spread(copies.files)), TOGETHER, ' = ')}"


def _spread(files: Sequence[File]) -> list[File]:
    """`files`, so that one of every split and class comes first: of a large group only the first are shown."""
    first: dict[tuple[str, int], File] = {}
    rest = [file for file in files if first.setdefault((file.split, file.picture.label), file) is not file]
    return [*first.values(), *rest]


def _listed(lines: Iterable[str]) -> Iterator[str]:
    everything = list(lines)
    yield from (f"  {line}" for line in everything[:NAMED])
    if len(everything) > NAMED:
        yield f"  and {len(everything) - NAMED:,} more; --json FILE names them all"


def _some(names: Iterable[str], most: int = 3, between: str = ", ") -> str:
    everything = [printable(name) for name in names]
    more = f" and {len(everything) - most:,} more" if len(everything) > most else ""
    return between.join(everything[:most]) + more


def _three(sizes: list[tuple[int, int]]) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int]]:
    """The first, the middle and the last of what is sorted."""
    return sizes[0], sizes[(len(sizes) - 1) // 2], sizes[-1]


def printable(name: str) -> str:
    """A file's or folder's name on one line of a terminal: what would move its cursor or colour it is replaced."""
    return "".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in name)
