"""What a run and a month of serving will cost, before either is begun: `python -m tools.cost`."""
