"""The one exception a training job ends with on purpose."""


class TrainingError(Exception):
    """The job cannot go on. The message is one clear sentence for a person; it becomes the last line on stderr."""
