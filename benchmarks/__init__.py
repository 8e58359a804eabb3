"""One script a claim. Each measures on this machine, now, and writes results/NAME.json; README.md shows them all."""
