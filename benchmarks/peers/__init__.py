"""What ours is raced against by `benchmarks.serving`: model servers that people use, each in an environment of its own.

One folder is one peer: its pinned packages and its application, at the settings that its documentation advises for
pictures on a few CPU cores. All of them answer with the same `engine`.
"""
