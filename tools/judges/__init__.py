"""What others' tools find in template, policies, code and pins: `python -m tools.judges`, a part of `make check`."""
