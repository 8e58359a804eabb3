"""The commands that the documentation shows: found in a page, and checked by the programs they call."""
