"""The sections of report.html below the headline and the photographs."""

from collections.abc import Mapping, Sequence

from training.evaluation import interval
from training.evaluation_shape import Report
from training.record import TrainingRecord
from training.report_html import Html, join, shortened, tag
from training.report_parts import (
    NAME_LENGTH,
    NONE,
    Names,
    counted,
    cut,
    facts,
    folded,
    percent,
    scrolled,
    table,
    warning,
)
from training.report_plots import Line, heat_map, line_chart, reliability_diagram, share_bar, thinned
from training.report_shape import BadFileFigures, ExportFigures, GraphFigures, SplitFigures

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
                NONE if share is None else "{:.0%} to {:.0%}".format(*interval(one["right"], one["pictures"])),
                f"{names[other['folder']]} ({other['pictures']})" if other else NONE,
            ]
        )
    heads = ["Class", "#Pictures", "#Right", "#Accuracy", "", "#95% interval", "Most often taken for"]
    caption = f"{len(found)} classes, the worst first" + cut(len(found), MOST_CLASSES)
    return table(caption, heads, rows)


def confusion(split: SplitFigures, names: Names, own: Sequence[str]) -> Html:
    """Which class was taken for which: drawn, and the most frequent as a table. `own`: the names of all classes."""
    drawing, left_out = heat_map(split, own)
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


def training(record: TrainingRecord) -> Html:
    """Loss and accuracy by epoch."""
    history = record["history"]
    best = next((one for one in history if one["number"] == record["metrics"].get("epoch")), None)
    if best is None:
        return tag("p", "training.json does not tell the epochs of the model that ships.")
    xs = [one["number"] for one in history]
    loss = [
        Line("training", "first", [one["train_loss"] for one in history]),
        Line("validation", "second", [one["validation_loss"] for one in history]),
    ]
    accuracy = [Line("validation", "second", [one["validation_accuracy"] for one in history])]
    told = (
        f"Epoch {best['number']} of {len(history)} is shipped: validation accuracy {best['validation_accuracy']:.1%}, "
        f"loss {best['validation_loss']:.4f}. Training loss includes label smoothing and augmented views; "
        "validation loss is that at the best temperature."
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
        [
            tag("p", told),
            tag("div", *parts, class_="charts even"),
            folded("Figures by epoch", table(caption, heads, rows)),
        ]
    )


def data(report: Report) -> Html:
    """What became of the files: those of this evaluation, and those of training."""
    found, split = report["data"], report["split"]
    used = (
        f"{report['figures']['pictures']} of {counted(found['files'], 'file')} of the {split} split are good pictures."
    )
    parts = [tag("p", f"{len(report['model']['classes'])} classes. {used}")]
    empty = [name for name, one in report["figures"]["per_class"].items() if not one["pictures"]]
    if empty:
        few = ", ".join(shortened(name, NAME_LENGTH) for name in empty[:5]) + (" and others" if len(empty) > 5 else "")
        lacking = f"{counted(len(empty), 'class', 'classes')} without a picture to measure"
        parts.append(warning(f"{lacking}: {few}. The figures say nothing about them."))
    parts += _files("Files of this evaluation", found["bad_files"], found["notes"], found["ignored"])
    if record := report["training"]:
        theirs = record["data"]
        counts = ", ".join(f"{count} {split}" for split, count in theirs["pictures"].items())
        parts.append(tag("h3", "Training"))
        parts.append(tag("p", f"Pictures used: {counts}. {theirs['bad_share']:.1%} of the files are bad."))
        parts += _files("Files of training", theirs["bad_files"], theirs["notes"], theirs["ignored"])
    return join(parts)


def _files(
    title: str, bad: Sequence[BadFileFigures], notes: Mapping[str, Sequence[str]], ignored: Sequence[str]
) -> list[Html]:
    parts = []
    if bad:
        rows = [[_file(one["name"]), one["kind"], shortened(one["reason"], TEXT_LENGTH)] for one in bad[:MOST_FILES]]
        caption = f"{title}: {counted(len(bad), 'file')} could not be used" + cut(len(bad), MOST_FILES)
        parts.append(table(caption, ["File", "Kind", "Reason"], rows))
    odd = [(name, note) for name, found in notes.items() for note in found]
    odd += [(name, "left aside, it is no picture of a class") for name in ignored]
    if odd:
        rows = [[_file(name), shortened(note, TEXT_LENGTH)] for name, note in odd[:MOST_FILES]]
        caption = f"{title}: {counted(len(odd), 'note')}" + cut(len(odd), MOST_FILES)
        parts.append(folded(caption, table(caption, ["File", "Note"], rows)))
    return parts


def provenance(report: Report) -> Html:
    """What the model was made from, and whether what was exported is what was trained."""
    named = {
        "Model's version": report["model"]["version"],
        "Precision": report["model"]["precision"],
        "Temperature": f"{report['model']['temperature']:.4f}",
        "Threshold": f"{report['model']['threshold']:.6f}",
        "Logit threshold": f"{report['model']['logit_threshold']:.6f}",
        "Evaluated pictures": tag("code", report["data"]["version"]),
    }
    record = report["training"]
    if record is None:
        return facts(named)
    made, export = record["provenance"], record["export"]
    named["Training data"] = tag("code", made["data_version"])
    named["Code"] = tag("code", made["code_sha256"])
    named["Backbone's weights"] = tag("code", made["backbone_sha256"])
    parameters = [[name, shortened(str(value), TEXT_LENGTH)] for name, value in made["parameters"].items()]
    libraries = [[name, found] for name, found in made["libraries"].items()]
    tables = [table("Parameters", ["Name", "Value"], parameters), table("Libraries", ["Name", "Version"], libraries)]
    return join([_precisions(export), facts(named), tag("div", *tables, class_="charts")])


def _precisions(export: ExportFigures) -> Html:
    """Every exported graph against torch."""
    rows = [
        [
            name,
            *_against_torch(one),
            "serves" if name == export["precision"] else "may serve" if one["valid"] else "loses too much",
        ]
        for name, one in export["precisions"].items()
    ]
    rows.append(["ONNX, in f32", *_against_torch(export["onnx"]), "for others"])
    heads = ["Precision", "#Accuracy", "#As torch", "#Probabilities apart by up to", "Use"]
    return table(f"Exported graphs on {counted(export['pictures'], 'validation picture')}", heads, rows)


def _against_torch(one: GraphFigures) -> list[str]:
    return [percent(one["accuracy"]), percent(one["label_agreement"]), f"{one['probability_gap']:.1g}"]


def _file(name: str) -> str:
    return shortened(name, 2 * NAME_LENGTH)
