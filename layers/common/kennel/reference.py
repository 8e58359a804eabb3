"""All input tables as Markdown, as docs/reference.md holds them: `python -m kennel.reference`."""

from kennel.batches import BATCH_FIELDS
from kennel.fields import markdown
from kennel.requests import BASELINE_FIELDS, REQUEST_FIELDS
from kennel.runs import RUN_FIELDS


def reference() -> str:
    """The fields of a request, of a run's and of a batch's input, a table each; a test holds the page to them."""
    tables = {
        "Prediction request": (*REQUEST_FIELDS, *BASELINE_FIELDS),
        "Pipeline input": RUN_FIELDS,
        "Batch input": BATCH_FIELDS,
    }
    return "\n".join(f"## {title}\n\n{markdown(fields)}\n" for title, fields in tables.items())


if __name__ == "__main__":
    print(reference(), end="")
