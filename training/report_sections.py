"""The sections of report.html below the headline and the photographs."""

from training.report_html import Html, join, shortened, tag
from training.report_parts import NAME_LENGTH, NONE, Names, counted, cut, facts, folded, percent, scrolled, table
from training.report_plots import Line, heat_map, line_chart, reliability_diagram, share_bar, thinned
from training.report_shape import Report, SplitFigures

MOST_CLASSES = 500  # rows of the table of classes
MOST_CONFUSIONS = 20
MOST_FILES = 100
MOST_EPOCHS = 100
TEXT_LENGTH = 200  # characters of a reason


def classes(split: SplitFigures, names: Names) -> Html:
    """Every class: how many pictures were right, and what the others were taken for."""
    found = sorted(
        split["per_class"].items(), key=lambda one: (one[1]["accuracy"] is None, one[1]["accuracy"], names[one[0]])
    )
    rows = []
    for folder, one in found[:MOST_CLASSES]:
        other, share = one["most_confused_with"], one["accuracy"]
        rows.append(
            [
                names[folder],
                str(one["pictures"]),
                str(one["right"]),
                percent(share),
                Html() if share is None else share_bar(share),
                f"{names[other['folder']]} ({other['pictures']})" if other else NONE,
            ]
        )
    heads = ["Class", "#Pictures", "#Right", "#Accuracy", "", "Most often taken for"]
    caption = f"{len(found)} classes, the worst first" + cut(len(found), MOST_CLASSES)
    return table(caption, heads, rows)


def confusion(split: SplitFigures, names: Names) -> Html:
    """Which class was taken for which: drawn, and the most frequent as a table."""
    drawing, left_out = heat_map(split, names.all())
    folders = list(split["per_class"])
    pairs = sorted(
        (
            (-count, row, column)
            for row, found in enumerate(split["confusion"])
            for column, count in enumerate(found)
            if count and row != column
        )
    )
    told = (
        "A row is the true class, a column the answer; the stronger a cell, the larger its share of the row. Blue, on "
        "the diagonal, is right; orange is wrong."
    )
    if left_out:
        told += f" {left_out} of the rarest cells are not drawn."
    parts = [tag("p", told), scrolled("Confusion matrix", drawing)]
    if pairs:
        rows = [
            [names[folders[row]], names[folders[column]], str(-count)] for count, row, column in pairs[:MOST_CONFUSIONS]
        ]
        caption = f"{counted(len(pairs), 'confusion')}, the most frequent first" + cut(len(pairs), MOST_CONFUSIONS)
        parts.append(table(caption, ["Is", "Answered", "#Pictures"], rows))
    return join(parts)


def calibration(split: SplitFigures) -> Html:
    """Whether the probabilities mean what they say."""
    rows = [
        [
            f"{one['low']:.1%} to {one['high']:.1%}",
            str(one["pictures"]),
            percent(one["confidence"]),
            percent(one["accuracy"]),
        ]
        for one in split["reliability"]
    ]
    told = (
        "Of the answers given with about the same probability, how many are right? On the dashed line exactly as many "
        "as said; a bar below it was too sure of itself, one above it too modest. Bars of few pictures say little."
    )
    figures = table(
        "The same as figures, 15 equal bins", ["Probability", "#Pictures", "#Mean probability", "#Right"], rows
    )
    drawing = tag("div", reliability_diagram(split["reliability"]), class_="charts")
    return join([tag("p", told), drawing, folded("Figures by bin", figures)])


def training(report: Report) -> Html:
    """Loss and accuracy by epoch."""
    history = report["history"]
    best = next(one for one in history if one["number"] == report["metrics"]["epoch"])
    xs = [one["number"] for one in history]
    loss = [
        Line("training", "first", [one["train_loss"] for one in history]),
        Line("validation", "second", [one["validation_loss"] for one in history]),
    ]
    accuracy = [Line("validation", "second", [one["validation_accuracy"] for one in history])]
    told = (
        f"Epoch {best['number']} of {len(history)} is shipped: validation accuracy {best['validation_accuracy']:.1%}, "
        f"loss {best['validation_loss']:.4f}. Training loss includes label smoothing and augmented views."
    )
    kept = thinned(range(len(history)), MOST_EPOCHS)
    rows = [
        [
            str(one["number"]) + (" (shipped)" if one is best else ""),
            f"{one['train_loss']:.4f}",
            f"{one['validation_loss']:.4f}",
            f"{one['validation_accuracy']:.1%}",
        ]
        for one in (history[n] for n in kept)
    ]
    heads = ["Epoch", "#Training loss", "#Validation loss", "#Validation accuracy"]
    parts = [
        tag("figure", tag("figcaption", name), line_chart(name, "epoch", xs, lines, best=best["number"], shares=shares))
        for name, lines, shares in (("Loss", loss, False), ("Accuracy", accuracy, True))
    ]
    caption = "Figures by epoch" + (
        f"; {len(kept)} of {len(history)}, evenly spread" if len(kept) < len(history) else ""
    )
    return join(
        [tag("p", told), tag("div", *parts, class_="charts"), folded("Figures by epoch", table(caption, heads, rows))]
    )


def data(report: Report) -> Html:
    """What became of the files."""
    data = report["data"]
    used = ", ".join(f"{count} {split}" for split, count in data["pictures"].items())
    parts = [
        tag(
            "p", f"{len(data['classes'])} classes; pictures used: {used}. {data['bad_share']:.1%} of the files are bad."
        )
    ]
    bad = data["bad_files"]
    parts.append(tag("h3", "Files that were not used"))
    if bad:
        rows = [[_file(one["name"]), one["kind"], shortened(one["reason"], TEXT_LENGTH)] for one in bad[:MOST_FILES]]
        parts.append(table(counted(len(bad), "file") + cut(len(bad), MOST_FILES), ["File", "Kind", "Reason"], rows))
    else:
        parts.append(tag("p", "None: every file is a good picture."))
    odd = [(name, note) for name, notes in data["notes"].items() for note in notes]
    odd += [(name, "left aside, it is no picture of a class") for name in data["ignored"]]
    if odd:
        rows = [[_file(name), shortened(note, TEXT_LENGTH)] for name, note in odd[:MOST_FILES]]
        caption = counted(len(odd), "note") + cut(len(odd), MOST_FILES)
        parts.append(folded(f"{counted(len(odd), 'note')} on other files", table(caption, ["File", "Note"], rows)))
    return join(parts)


def timing(report: Report) -> Html:
    """Where the time went."""
    stages = report["timings_seconds"]
    total = sum(stages.values())
    rows: list[list[str]] = [
        [name, f"{seconds:.2f}", f"{seconds / (total or 1):.0%}", share_bar(seconds / (total or 1))]
        for name, seconds in stages.items()
    ]
    rows.append(["all", f"{total:.2f}", "", Html()])
    caption = f"On {counted(report['hosts'], 'host')}; rank 0 held at most {report['peak_memory_mb']:.0f} MB"
    return table(caption, ["Stage", "#Seconds", "#Share", ""], rows)


def provenance(report: Report) -> Html:
    """What the model was made from, and whether what was exported is what was trained."""
    made, export = report["provenance"], report["export"]
    parameters = [[name, str(value)] for name, value in made["parameters"].items()]
    libraries = [[name, found] for name, found in made["libraries"].items()]
    told = (
        f"The exported model was compared with torch on {export['pictures']} validation pictures: "
        f"{export['label_agreement']:.1%} the same answers, probabilities at most {export['probability_gap']:.1g} "
        f"apart. In the precision that serves: {export['served_label_agreement']:.1%} and "
        f"{export['served_probability_gap']:.1g}."
    )
    named = {
        "Temperature": f"{report['temperature']:.4f}",
        "Threshold": f"{report['threshold']:.6f}",
        "Backbone's weights": tag("code", made["backbone_sha256"]),
    }
    tables = [table("Parameters", ["Name", "Value"], parameters), table("Libraries", ["Name", "Version"], libraries)]
    return join([tag("p", told), facts(named), tag("div", *tables, class_="charts")])


def _file(name: str) -> str:
    return shortened(name, 2 * NAME_LENGTH)
