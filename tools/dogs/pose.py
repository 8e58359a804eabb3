"""How a dog holds itself: where its parts are when it stands, sits or lies."""

from dataclasses import dataclass
from random import Random

from tools.dogs.breeds import Breed
from tools.dogs.pen import Bead, Point

POSES = ("standing", "standing", "standing", "sitting", "lying")


@dataclass(frozen=True)
class Joints:
    """Where a posed dog's parts are: dog units, y down, the ground at 0, the dog looking to the right."""

    hip: Point
    shoulder: Point
    skull: Point
    near: tuple[tuple[Bead, ...], ...]  # legs on our side
    far: tuple[tuple[Bead, ...], ...]


def joints(breed: Breed, pose: str, random: Random) -> Joints:
    """The joints of `breed` in `pose`, with a little of the animal's own way of holding itself."""
    leg, depth, limb = breed.leg, breed.depth, breed.limb
    half = breed.trunk / 2
    sway = random.uniform(-0.06, 0.06)
    if pose == "sitting":
        hip = (-half * 0.5, -depth * 0.9)
        shoulder = (half * 0.42, -(leg + depth * 0.85) - 0.08)
        front = (
            (*shoulder, depth * 0.6),
            (shoulder[0] + 0.08, -leg * 0.5, limb * 1.1),
            (shoulder[0] + 0.1, -limb, limb),
        )
        hind: tuple[Bead, ...] = (
            (*hip, depth * 0.85),
            (hip[0] + 0.2, -depth * 0.5, depth * 0.5),
            (hip[0] + 0.34, -limb, limb * 1.1),
        )
    elif pose == "lying":
        hip = (-half, -depth * 0.86)
        shoulder = (half, -depth * 0.95)
        reach = shoulder[0] + 0.18 + leg * 0.55
        front = ((*shoulder, depth * 0.6), (shoulder[0] + 0.08, -limb * 1.4, limb * 1.2), (reach, -limb, limb))
        hind = (
            (hip[0] + 0.1, hip[1], depth * 0.8),
            (hip[0] + 0.3, -limb * 1.6, limb * 1.6),
            (hip[0] + 0.42, -limb, limb),
        )
    else:
        hip, shoulder = (-half, -(leg + depth * 0.8)), (half, -(leg + depth * 0.86))
        stride = random.uniform(-0.12, 0.14) * min(1.0, leg * 2)
        front = ((*shoulder, depth * 0.6), (half + stride / 2, -leg * 0.5, limb * 1.1), (half + stride, -limb, limb))
        hind = (
            (*hip, depth * 0.8),
            (-half + 0.06 - stride / 2, -leg * 0.62, limb * 1.45),
            (-half - 0.1 - stride / 2, -leg * 0.34, limb * 0.95),
            (-half - 0.04 - stride, -limb, limb),
        )
    nod = random.uniform(-0.3, 0.25)
    skull = (
        shoulder[0] + breed.neck * (0.62 + nod * 0.4) + breed.head * 0.3,
        shoulder[1] - breed.neck * (1.0 + sway - nod * 0.5) - depth * 0.3,
    )
    shift = random.uniform(0.07, 0.15) * random.choice((-1, 1))
    far = tuple(tuple((x + shift, y, r) for x, y, r in chain) for chain in (front, hind))
    return Joints(hip, shoulder, skull, (front, hind), far)


def trunk(breed: Breed, place: Joints) -> tuple[Bead, ...]:
    """The trunk's beads, from hip to shoulder, with a waist."""
    (hx, hy), (sx, sy) = place.hip, place.shoulder
    return (
        (hx, hy, breed.depth * 0.84),
        ((hx + sx) / 2, (hy + sy) / 2 - 0.01, breed.depth * 0.8),
        (sx - 0.08, sy + 0.02, breed.depth),
    )


def tail(breed: Breed, place: Joints, random: Random) -> tuple[Bead, ...]:
    """The tail's beads, from its root."""
    x, y = place.hip[0] - breed.depth * 0.6, place.hip[1] - breed.depth * 0.45
    wag = random.uniform(-0.08, 0.08)
    paths: dict[str, tuple[Bead, ...]] = {
        "sabre": ((0, 0, 0.06), (-0.16, -0.16 + wag, 0.05), (-0.24, -0.42 + wag, 0.03)),
        "curl": (
            (0, 0, 0.08),
            (-0.1, -0.24, 0.09),
            (0.08, -0.38, 0.09),
            (0.22, -0.24 + wag, 0.07),
            (0.12, -0.14, 0.05),
        ),
        "plume": (
            (0, 0, 0.06),
            (-0.24, 0.02 + wag, 0.1),
            (-0.46, -0.1 + wag * 2, 0.09),
            (-0.58, -0.22 + wag * 2, 0.03),
        ),
        "brush": ((0, 0, 0.07), (-0.16, 0.2, 0.09), (-0.22 + wag, 0.42, 0.08), (-0.32 + wag, 0.54, 0.03)),
        "stub": ((0, 0, 0.06), (-0.08, -0.06, 0.05)),
        "whip": ((0, 0, 0.045), (-0.26, -0.02 + wag, 0.03), (-0.5, -0.2 + wag * 2, 0.012)),
        "hook": ((0, 0, 0.05), (-0.16, -0.22, 0.05), (-0.1 + wag, -0.42, 0.045), (0.04 + wag, -0.44, 0.03)),
        "pompon": ((0, 0, 0.035), (-0.06, -0.26 + wag, 0.03), (-0.08, -0.34 + wag, 0.11), (-0.09, -0.36 + wag, 0.11)),
    }
    lowest = -0.05  # a brush lies along the ground rather than in it
    return tuple((x + dx, min(y + dy, lowest), r) for dx, dy, r in paths[breed.tail])
