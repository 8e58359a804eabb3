"""What this project replaces, re-implemented from its description with its defects, to be raced (README.md)."""
