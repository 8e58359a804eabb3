"""All input tables and the problems as Markdown, as docs/reference.md holds them: `python -m kennel.reference`."""

from kennel.batches import BATCH_FIELDS
from kennel.errors import PROBLEMS
from kennel.fields import markdown
from kennel.requests import BASELINE_FIELDS, REQUEST_FIELDS
from kennel.runs import RUN_FIELDS


def reference() -> str:
    """The fields of a request, of a run's and of a batch's input, and the problems; a test holds the page to them."""
    tables = {
        "Prediction request": (*REQUEST_FIELDS, *BASELINE_FIELDS),
        "Pipeline input": RUN_FIELDS,
        "Batch input": BATCH_FIELDS,
    }
    inputs = [f"## {title}\n\n{markdown(fields)}\n" for title, fields in tables.items()]
    return "\n".join([*inputs, f"## Problems\n\n{_problems()}\n"])


def _problems() -> str:
    rows = ["| `type` | status | title | when |", "| --- | --- | --- | --- |"]
    for kind, problem in PROBLEMS.items():
        when = " ".join((kind.__doc__ or "").split())
        rows.append(f"| `about:blank#{problem.slug}` | {problem.status} | {problem.title} | {when} |")
    return "\n".join(rows)


if __name__ == "__main__":
    print(reference(), end="")
