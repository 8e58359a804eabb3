"""A file that does harm where something unpickles it: what no reader of the product may be led to."""

import os
import pickle
from pathlib import Path


class _Harm:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.folder),)


def pickle_that_would_make(folder: Path) -> bytes:
    """A pickle; unpickling it makes `folder`."""
    return pickle.dumps(_Harm(folder), protocol=2)
