"""Drawn dogs: what a breed looks like, the figure, the scene around it, the camera."""
