"""Both input tables as Markdown, as docs/reference.md holds them: `python -m kennel.reference`."""

from kennel.fields import markdown
from kennel.requests import BASELINE_FIELDS, REQUEST_FIELDS
from kennel.runs import RUN_FIELDS


def reference() -> str:
    """The fields of a prediction request and of a run's input, a table each; a test holds the page to them."""
    tables = {"Prediction request": (*REQUEST_FIELDS, *BASELINE_FIELDS), "Pipeline input": RUN_FIELDS}
    return "\n".join(f"## {title}\n\n{markdown(fields)}\n" for title, fields in tables.items())


if __name__ == "__main__":
    print(reference(), end="")
