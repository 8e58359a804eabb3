"""training.engine: what must hold before the first picture is looked at."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# Eight threads of a fresh process make their first inference at the same time, the interpreter switching all the while.
FIRST_TOGETHER = """
import sys, threading
import numpy as np
from training.engine import Compiled
import openvino
from openvino import opset13 as operations

sys.setswitchinterval(1e-6)
pictures = operations.parameter([1, 2, 2, 3], np.uint8)
compiled = Compiled(openvino.Model([operations.convert(pictures, "f32")], [pictures], "same"), threads=2)
requests = [compiled.request() for _ in range(8)]
together, answers = threading.Barrier(len(requests)), []

def first(request):
    batch = np.ones((1, 2, 2, 3), np.uint8)
    together.wait()
    answers.extend(Compiled.run(request, batch))

threads = [threading.Thread(target=first, args=(request,)) for request in requests]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(sum(int(answer.sum()) for answer in answers))
"""


def test_threads_whose_first_inferences_come_together_do_not_wait_for_each_other_for_ever() -> None:
    done = subprocess.run(
        [sys.executable, "-c", FIRST_TOGETHER], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stdout) == (0, f"{8 * 12}\n"), done.stderr
