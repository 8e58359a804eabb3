"""What the programs of this folder have in common: how they speak, and how they end."""

import contextlib
import ctypes
import os
import sys
import traceback
from collections.abc import Callable, Sequence

import torch

from training.errors import TrainingError
from training.loop import Epoch
from training.metrics import format_metric

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # malloc.h


def say(line: str) -> None:
    """One line to the job's log, in one piece: several processes of a host may share it."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def say_epoch(epoch: Epoch) -> None:
    """The metric lines of one epoch."""
    say(format_metric("train:loss", epoch.train_loss, epoch.number))
    say(format_metric("validation:loss", epoch.validation_loss, epoch.number))
    say(format_metric("validation:accuracy", epoch.validation_accuracy, epoch.number))


def quiet_torch(seed: int) -> None:
    """Torch as all programs want it: the same bits for the same seed, and one thread.

    The heavy work is OpenVINO's, on all cores. What is left to torch is too small to share: its threads would spend
    their time waiting for each other, ten times over on a machine that others use as well. On a GPU not every operation
    can give the same bits; those that cannot are warned of.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it cuBLAS is not deterministic
    torch.manual_seed(seed)
    # As `torch.use_deterministic_algorithms` does, but for loading torch's compiler, which takes seconds.
    os.environ.setdefault("TORCHINDUCTOR_DETERMINISTIC", "1")
    torch.set_deterministic_debug_mode("warn" if torch.cuda.is_available() else "error")
    torch.set_num_threads(1)


def keep_freed_memory() -> None:
    """Has this process keep what it frees, where the C library is glibc.

    It would else give a step's large tensors back to the system and have them zeroed anew by the next step, which was
    a quarter of all the time that fine-tuning took on a CPU. What the process holds at most stays the same.
    """
    with contextlib.suppress(OSError, AttributeError):
        library = ctypes.CDLL("libc.so.6")
        library.mallopt(_M_MMAP_MAX, 0)
        library.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


def guarded(main: Callable[[Sequence[str]], None], arguments: Sequence[str]) -> int:
    """`main` as a process: 0, or 1 with the reason as the last line on stderr, SageMaker's FailureReason."""
    try:
        main(arguments)
    except TrainingError as error:
        reason = str(error)
    except Exception as error:  # a fault of ours or of the machine: the traceback is for whoever mends it
        traceback.print_exc()
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
    else:
        return 0
    sys.stdout.flush()
    print(f"error: {reason}", file=sys.stderr, flush=True)
    return 1


def run_program(main: Callable[[Sequence[str]], None]) -> None:
    """Runs `main` with this process's arguments and exits with its status."""
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # file names may hold any bytes
    sys.stderr.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    sys.exit(guarded(main, sys.argv[1:]))
