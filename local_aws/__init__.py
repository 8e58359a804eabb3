"""The embedded AWS: MiniStack and what it lacks. `python -m local_aws up | down | status`; see COVERAGE.md."""
