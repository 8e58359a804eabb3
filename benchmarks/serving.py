"""Requests a second of a ResNet-50 behind HTTP: ours against six servers that people use, and against its own parts.

All in one run on the same cores, with the same weights (random ones, by a seed) and the same JPEGs, posted 1, 8 and 32
at a time by a process of its own, which shares the cores: the baseline's handler (in TorchServe, as in its image, but
with one thread a worker; its last layers are its own), FastAPI, LitServe (also in batches), BentoML, Ray Serve and
TorchServe, each in its own environment (`benchmarks/peers`) and at the settings that its documentation advises. They
run once with eager torch inside, reading pictures as torch's documentation does, and once with our graphs on OpenVINO,
reading them as ours does, so that there only the server differs. Ours is `python -m serving` on a model directory of
training's own export.

Beside requests/s: p50 and p99 milliseconds, CPU milliseconds a request of all of a server's processes, their memory,
the seconds from the start of the process to its first answer, and whether it answers as torch does. Every figure is the
median of rounds in opposite order, each of which starts every server anew.

The parts of ours: our decoding alone and the graph alone (the best of several batch sizes and numbers of streams), each
on all cores, and our HTTP stack answering a constant, under the same load. Together they would do
1 / (1/decode + 1/model + 1/HTTP) requests a second, one after the other. The same constant shows that the load is not
what limits: its own CPU time a request stands in the details.

bf16 is raced only where the processor computes in it. A peer that does not install, or does not come up, is named in
the details with its reason.

`--short` takes a second or two a point, `--only TEXT` those whose name holds the text; neither records anything.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.claims import ROOT, Claim, claim, record, rounded
from benchmarks.parts.servers import NoAnswerError, Server, Start, ends_cleanly, free_port, running
from benchmarks.peers import environments
from benchmarks.peers.engine import CORES

AT_A_TIME = (1, 8, 32)
OURS, BASELINE = "ours", "baseline handler"
TORCH = "torch"
BATCH = 16
KEPT = ROOT / ".local" / "race"
Figures = Mapping[str, Any]  # of one server with one engine
Race = Mapping[str, Mapping[str, Figures]]  # server -> engine -> figures


@dataclass(frozen=True)
class Contestant:
    """A server with an engine in it.

    cores   that work on one picture (or batch); as many workers as fill the machine
    batch   the most requests that are computed together
    """

    name: str
    engine: str
    peer: str = ""
    path: str = "/invocations"
    cores: int = 1
    batch: int = 1

    def __str__(self) -> str:
        return f"{self.name}, {self.engine}"


@dataclass(frozen=True)
class Length:
    """Seconds a point (by requests at a time), seconds for each way of computing alone, and rounds."""

    seconds: Mapping[int, float]
    alone: float
    rounds: int


FULL = Length({1: 3.0, 8: 2.0, 32: 4.0}, 0.8, 2)
SHORT = Length({1: 1.0, 8: 1.0, 32: 1.5}, 0.2, 1)


@dataclass
class Ground:
    """What the race is run on: the folder that `race_model` made, and the environments that are there."""

    folder: Path
    length: Length
    about: dict[str, Any] = field(default_factory=dict)
    pythons: dict[str, Path] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)

    @property
    def pictures(self) -> Path:
        """JPEGs to send."""
        return self.folder / "pictures"

    @property
    def precisions(self) -> list[str]:
        """Those of the model directory."""
        return list(json.loads((self.folder / "model" / "model.json").read_text())["precisions"])


def contestants(precisions: Sequence[str]) -> list[Contestant]:
    """Everybody, in the order of the first round. Ours stands in the middle, next to its parts."""
    engines = [TORCH, *precisions]
    before = [Contestant(BASELINE, TORCH, "torchserve", "/predictions/race")]
    before += [Contestant("TorchServe", engine, "torchserve", "/predictions/race") for engine in engines]
    before += [Contestant("Ray Serve", engine, "ray") for engine in engines]
    before += [Contestant("LitServe", engine, "litserve") for engine in engines]
    after = [Contestant("LitServe in batches", engine, "litserve", batch=BATCH) for engine in engines]
    after += [Contestant("FastAPI", engine, "fastapi") for engine in engines]
    after += [Contestant("FastAPI, one process", engine, "fastapi", cores=CORES) for engine in precisions]
    after += [Contestant("BentoML", engine, "bentoml") for engine in engines]
    return [*before, *(Contestant(OURS, precision) for precision in precisions), *after]


def prepare(length: Length) -> Ground:
    """The model, the pictures and the environments."""
    ground = made_once(length)
    for peer in sorted({one.peer for one in contestants([]) if one.peer}):
        try:
            ground.pythons[peer] = environments.python_of(peer)
        except environments.NotInstalledError as error:
            ground.missing[peer] = f"does not install: {error}"
            print(f"{peer} {ground.missing[peer]}", flush=True)
    return ground


def made_once(length: Length) -> Ground:
    """The model and the pictures."""
    ground = Ground(KEPT / made_of(), length)
    if not (ground.folder / "about.json").is_file():
        print("making the model and the pictures (once, two minutes)", flush=True)
        shutil.rmtree(KEPT, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "benchmarks.parts.race_model", str(ground.folder)], cwd=ROOT, check=True)
    ground.about = json.loads((ground.folder / "about.json").read_text())
    return ground


def made_of() -> str:
    """A name for the model and the pictures: other code or other pictures make others."""
    code = [*(ROOT / "training").glob("*.py"), ROOT / "serving" / "preprocess.py", ROOT / "serving" / "manifest.py"]
    code += [ROOT / "benchmarks" / "parts" / "race_model.py", ROOT / "benchmarks" / "baseline" / "networks.py"]
    whole = hashlib.sha256(os.environ.get("DATA", "").encode() + sys.version.encode())
    for path in sorted(code):
        whole.update(path.read_bytes())
    return whole.hexdigest()[:16]


def race(one: Contestant, ground: Ground, scratch: Path) -> Figures:
    """One contestant, once: from its start to its end. Raises `NoAnswerError`."""
    model, port = ground.folder / "model", free_port()
    if one.peer:
        command = [str(ground.pythons[one.peer]), "-m", f"benchmarks.peers.{one.peer}.app"]
        environ = {
            "RACE_ENGINE": "baseline" if one.name == BASELINE else one.engine,
            "RACE_MODEL": str(model),
            "RACE_CORES": str(one.cores),
            "RACE_BATCH": str(one.batch),
            "RACE_PORT": str(port),
        }
    else:
        command = [sys.executable, "-m", "serving"]
        environ = {"MODEL_DIR": str(model), "SERVING_PRECISION": one.engine, "PORT": str(port), "HOST": "127.0.0.1"}
        environ["SERVING_REMEMBERED"] = "0"  # the same pictures come again, which it would otherwise remember
    environ["TMPDIR"] = str(scratch)
    first = min(ground.pictures.glob("*.jpg")).read_bytes()
    with running(Start(command, port, one.path, environ), first, scratch / "log.txt") as server:
        agreed = agreement(server, ground)
        found = measured(server, ground)
    return found | {"answers_as_torch": agreed}


def measured(server: Server, ground: Ground) -> dict[str, Any]:
    """Its figures under load."""
    seconds = ground.length.seconds
    windows = {str(n): asdict(server.loaded(n, seconds[n], ground.pictures)) for n in AT_A_TIME}
    return {
        "at_a_time": windows,
        "seconds_to_first_answer": server.seconds_to_first_answer,
        "memory": asdict(server.memory()),
    }


def agreement(server: Server, ground: Ground) -> float:
    """The share of pictures for which the likeliest class is that of torch."""
    labels = ground.about["labels"]
    given = {name: likeliest(server.ask((ground.pictures / name).read_bytes())) for name in labels}
    return statistics.mean(float(given[name] == label) for name, label in labels.items())


def likeliest(answer: Any) -> int:
    """The class an answer puts first: of `predictions`, or of the baseline's logits."""
    if isinstance(answer, list):
        return max(range(len(answer[0])), key=answer[0].__getitem__)
    index: int = answer["predictions"][0]["index"]
    return index


def parts(ground: Ground, scratch: Path) -> Figures:
    """Decoding alone, the graph alone in each precision, and bare HTTP."""
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.parts.bare_http", str(port)]
    first = min(ground.pictures.glob("*.jpg")).read_bytes()
    with running(Start(command, port), first, scratch / "log.txt") as server:
        http = measured(server, ground)
    arguments = [str(ground.folder / "model"), str(ground.pictures), str(ground.length.alone), *ground.precisions]
    alone = subprocess.run(
        [sys.executable, "-m", "benchmarks.parts.compute_alone", *arguments],
        cwd=ROOT,
        check=True,
        stdout=subprocess.PIPE,
    )
    return {"http": http, **json.loads(alone.stdout)}


def median(values: Sequence[Any]) -> Any:
    """The median of numbers; of mappings of the same members, of each member."""
    if isinstance(values[0], Mapping):
        return {name: median([one[name] for one in values]) for name in values[0]}
    return statistics.median(values)


def together(alone: Figures, precision: str) -> float:
    """Requests a second of the parts one after the other."""
    model = max(alone["model"][precision].values())
    http = alone["http"]["at_a_time"]["32"]["requests_per_second"]
    return float(1 / (1 / alone["decode"] + 1 / model + 1 / http))


def claims(found: Race, alone: Figures) -> list[Claim]:
    """What was to be shown."""
    ours = found[OURS]
    peers = {name: engines for name, engines in found.items() if name not in (OURS, BASELINE)}

    def best(engine: str, at: str, what: str, choose: Callable[..., float]) -> float | None:
        return choose((one[engine]["at_a_time"][at][what] for one in peers.values() if engine in one), default=None)

    made = []
    for precision, own in ours.items():
        fast, quick = own["at_a_time"]["32"]["requests_per_second"], own["at_a_time"]["1"]["p99_ms"]
        if rate := best(precision, "32", "requests_per_second", max):
            made.append(claim(f"requests/s at 32, ours over the best peer, {precision}", ">=", 1.4, fast / rate, "x"))
        if slow := best(precision, "1", "p99_ms", min):
            made.append(claim(f"p99 at 1, ours of the best peer's, {precision}", "<=", 0.8, quick / slow, "x"))
        share = fast / together(alone, precision)
        made.append(claim(f"requests/s at 32, ours of its parts together, {precision}", ">=", 0.9, share, "of 1"))
    int8 = ours.get("int8", {}).get("at_a_time", {}).get("32", {}).get("requests_per_second")
    eager = best(TORCH, "32", "requests_per_second", max)
    if int8 and eager:
        made.append(claim("requests/s at 32, ours int8 over the best eager torch peer", ">=", 15, int8 / eager, "x"))
    if int8 and BASELINE in found:
        rate = found[BASELINE][TORCH]["at_a_time"]["32"]["requests_per_second"]
        made.append(claim("requests/s at 32, ours int8 over the baseline handler", ">=", 20, int8 / rate, "x"))
    return made


def row(name: str, one: Figures) -> str:
    """A line to look at."""
    points = [
        f"{at['requests_per_second']:7.1f}/s p50 {at['p50_ms']:7.1f} p99 {at['p99_ms']:7.1f}"
        for at in one["at_a_time"].values()
    ]
    cpu, memory = one["at_a_time"]["32"]["cpu_ms_per_request"], one["memory"]["pss_mb"]
    start = one["seconds_to_first_answer"]
    return f"{name:32}{' |'.join(points)} | CPU {cpu:6.1f} ms, {memory:5.0f} MB, up in {start:4.1f} s"


def rounds(ground: Ground, scratch: Path, only: str) -> tuple[dict[Contestant, list[Figures]], list[Figures]]:
    """What every contestant that comes up did in each round, and what the parts did."""
    chosen = [one for one in contestants(ground.precisions) if only.lower() in str(one).lower()]
    found: dict[Contestant, list[Figures]] = {one: [] for one in chosen}
    alone: list[Figures] = []
    for number in range(ground.length.rounds):
        before = next((at for at, one in enumerate(chosen) if one.name == OURS), 0)
        order: list[Contestant | None] = [*chosen[:before], None, *chosen[before:]]
        for one in order if number % 2 == 0 else reversed(order):
            with tempfile.TemporaryDirectory(prefix="r-", dir=scratch, ignore_cleanup_errors=True) as own:
                if one is None:
                    alone.append(parts(ground, Path(own)))
                    print(row("bare HTTP", alone[-1]["http"]), flush=True)
                elif str(one) not in ground.missing and one.peer not in ground.missing:
                    try:
                        found[one].append(race(one, ground, Path(own)))
                        print(row(str(one), found[one][-1]), flush=True)
                    except NoAnswerError as error:
                        ground.missing[str(one)] = str(error)
                        print(f"{one}: {error}", flush=True)
    return {one: each for one, each in found.items() if each}, alone


def main() -> int:
    """Race and record."""
    parser = argparse.ArgumentParser(description="Race the serving container.")
    parser.add_argument("--short", action="store_true", default=os.environ.get("RACE") == "short")
    parser.add_argument("--only", default="")
    asked = parser.parse_args()
    ends_cleanly()
    with tempfile.TemporaryDirectory(prefix="kennel-", ignore_cleanup_errors=True) as folder:
        scratch = Path(folder)
        ground = prepare(SHORT if asked.short else FULL)
        each, alone = rounds(ground, scratch, asked.only)
    found: dict[str, dict[str, Figures]] = {}
    for one, figures in each.items():
        found.setdefault(one.name, {})[one.engine] = median(figures)
    middle = median(alone)
    print("\nmedians")
    for name, engines in found.items():
        for engine, figures_ in engines.items():
            print(row(f"{name}, {engine}", figures_))
    made = claims(found, middle) if OURS in found else []
    details = {
        "pictures": ground.about["pictures"],
        "judged": ground.about["judged"],
        "servers": found,
        "rounds": {
            str(one): [figures["at_a_time"]["32"]["requests_per_second"] for figures in figures_]
            for one, figures_ in each.items()
        },
        "parts": middle,
        "parts_together_per_second": {precision: together(middle, precision) for precision in ground.precisions},
        "not_raced": ground.missing,
    }
    if asked.short or asked.only:
        print(json.dumps(rounded({name: one for name, one in details.items() if name != "servers"}), indent=1))
        for one_ in made:
            print(f"{one_.name}: {one_.measured:g} {one_.unit} (goal {one_.goal})")
        return 0
    return record("serving", made, rounded(details))


if __name__ == "__main__":
    sys.exit(main())
