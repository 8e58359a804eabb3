"""SIGTERM and Ctrl-C end the job at once, wherever it is."""

import os
import signal
import sys
import threading

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_WRITING_SECONDS = 60.0  # SageMaker kills 120 seconds after SIGTERM

# Held while a checkpoint is written: what has been learnt so far is worth the wait when a Spot instance is taken away.
WRITING = threading.Lock()


def stop_on_signals() -> None:
    """From now on SIGTERM and SIGINT end this process with one line on stderr and the status 128 + signal.

    Python's own handlers would wait for the main thread to come back from native code, which may be inferring, or
    waiting for another host. Call it before any other thread is started: threads inherit what is blocked here. Only a
    checkpoint that is being written is waited for. Nothing else needs tidying up: a model directory without its
    model.json, which vouches for it, is refused by serving.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    threading.Thread(target=_wait, name="signals", daemon=True).start()


def _wait() -> None:
    number = signal.sigwait(_SIGNALS)
    WRITING.acquire(timeout=_WRITING_SECONDS)
    os.write(sys.stderr.fileno(), f"error: stopped by {signal.Signals(number).name}\n".encode())
    os._exit(128 + number)
