"""What the serving path does under a load, and which settings it needs: `python -m tools.scaling`."""
