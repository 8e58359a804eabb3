"""What the drawn breeds look like. Lengths are in dog units: a middling dog's trunk is 1 long."""

from dataclasses import dataclass

Colour = tuple[int, int, int]

BLACK: Colour = (38, 34, 36)
CHARCOAL: Colour = (70, 66, 70)
CHOCOLATE: Colour = (88, 56, 40)
RED: Colour = (176, 96, 48)
FAWN: Colour = (205, 158, 102)
GOLD: Colour = (214, 166, 92)
CREAM: Colour = (232, 206, 160)
TAN: Colour = (190, 124, 66)
SABLE: Colour = (150, 128, 110)
GREY: Colour = (128, 128, 136)
WHITE: Colour = (242, 238, 230)


@dataclass(frozen=True)
class Coat:
    """One of a breed's colourings: the coat, what its dark or tan markings are, the ears."""

    base: Colour
    marking: Colour
    ear: Colour


@dataclass(frozen=True)
class Breed:
    """Proportions, ears, tail, fur and markings of one breed.

    marks: any of saddle, spots, patches, brindle, tan_points, mask, blaze, white_chest, white_legs, white_belly,
    collar, white_tip, white_face. fur: smooth, fluffy, curly.
    """

    folder: str
    coats: tuple[Coat, ...]
    marks: frozenset[str] = frozenset()
    ears: str = "floppy"  # floppy, long, pricked, bat, semi
    tail: str = "sabre"  # sabre, curl, plume, brush, stub, whip, hook
    fur: str = "smooth"
    leg: float = 0.52
    trunk: float = 1.0
    depth: float = 0.27
    head: float = 0.24
    muzzle: float = 0.85  # in head radii
    snout: float = 0.42  # thickness of the muzzle's end, in head radii
    neck: float = 0.34
    limb: float = 0.075


def _marks(text: str) -> frozenset[str]:
    return frozenset(text.split())


BREEDS: tuple[Breed, ...] = (
    Breed(
        "005.Alaskan_malamute",
        (Coat(GREY, CHARCOAL, CHARCOAL), Coat(CHARCOAL, BLACK, BLACK), Coat(SABLE, CHARCOAL, CHARCOAL)),
        _marks("saddle white_face white_chest white_legs white_belly"),
        ears="pricked", tail="curl", fur="fluffy", depth=0.31, leg=0.5, head=0.28, muzzle=0.7, limb=0.095,
    ),
    Breed(
        "015.Basset_hound",
        (Coat(WHITE, RED, RED), Coat(WHITE, BLACK, RED), Coat(FAWN, RED, RED)),
        _marks("patches white_legs white_chest white_tip blaze"),
        ears="long", tail="sabre", leg=0.2, trunk=1.25, depth=0.29, head=0.26, muzzle=0.95, snout=0.55, limb=0.1,
    ),
    Breed(
        "016.Beagle",
        (Coat(TAN, BLACK, RED), Coat(RED, CHARCOAL, RED), Coat(FAWN, RED, TAN)),
        _marks("saddle white_legs white_chest white_tip white_belly blaze"),
        ears="floppy", tail="sabre", leg=0.42, trunk=0.9, depth=0.26, head=0.25, muzzle=0.75, snout=0.48,
    ),
    Breed(
        "029.Border_collie",
        (Coat(BLACK, BLACK, BLACK), Coat(CHOCOLATE, CHOCOLATE, CHOCOLATE), Coat(CHARCOAL, CHARCOAL, BLACK)),
        _marks("collar blaze white_legs white_chest white_tip"),
        ears="semi", tail="plume", fur="fluffy", leg=0.46, depth=0.27, head=0.23, muzzle=0.85,
    ),
    Breed(
        "034.Boxer",
        (Coat(FAWN, BLACK, TAN), Coat(TAN, BLACK, TAN), Coat((150, 98, 58), BLACK, (120, 76, 46))),
        _marks("mask white_chest brindle"),
        ears="floppy", tail="stub", leg=0.55, trunk=0.9, depth=0.29, head=0.29, muzzle=0.35, snout=0.62, limb=0.085,
    ),
    Breed(
        "056.Dachshund",
        (Coat(BLACK, TAN, BLACK), Coat(RED, RED, RED), Coat(CHOCOLATE, TAN, CHOCOLATE)),
        _marks("tan_points"),
        ears="long", tail="whip", leg=0.17, trunk=1.4, depth=0.21, head=0.21, muzzle=1.2, snout=0.36, limb=0.07,
    ),
    Breed(
        "057.Dalmatian",
        (Coat(WHITE, BLACK, BLACK), Coat(WHITE, CHOCOLATE, CHOCOLATE), Coat((228, 228, 228), BLACK, WHITE)),
        _marks("spots"),
        ears="floppy", tail="whip", leg=0.6, trunk=1.0, depth=0.25, head=0.23,
    ),
    Breed(
        "059.Doberman_pinscher",
        (Coat(BLACK, TAN, BLACK), Coat(CHOCOLATE, TAN, CHOCOLATE), Coat(CHARCOAL, TAN, BLACK)),
        _marks("tan_points"),
        ears="pricked", tail="stub", leg=0.66, trunk=0.95, depth=0.25, head=0.21, muzzle=1.15, snout=0.34, neck=0.46,
        limb=0.068,
    ),
    Breed(
        "071.German_shepherd_dog",
        (Coat(TAN, BLACK, BLACK), Coat(FAWN, CHARCOAL, CHARCOAL), Coat(RED, BLACK, BLACK)),
        _marks("saddle mask"),
        ears="bat", tail="brush", fur="fluffy", leg=0.5, trunk=1.12, depth=0.27, head=0.23, muzzle=1.0,
    ),
    Breed(
        "076.Golden_retriever",
        (Coat(GOLD, GOLD, TAN), Coat(CREAM, CREAM, GOLD), Coat(TAN, TAN, RED)),
        _marks("feathers"),
        ears="floppy", tail="plume", fur="fluffy", leg=0.48, depth=0.28, head=0.25, muzzle=0.8, snout=0.5, limb=0.085,
    ),
    Breed(
        "096.Labrador_retriever",
        (
            Coat(CREAM, CREAM, GOLD),
            Coat(BLACK, BLACK, BLACK),
            Coat(CHOCOLATE, CHOCOLATE, CHOCOLATE),
            Coat(GOLD, GOLD, TAN),
        ),
        ears="floppy", tail="sabre", leg=0.48, depth=0.29, head=0.26, muzzle=0.75, snout=0.54, limb=0.09,
    ),
    Breed(
        "118.Pembroke_welsh_corgi",
        (Coat(RED, RED, RED), Coat(TAN, TAN, TAN), Coat(FAWN, FAWN, TAN)),
        _marks("white_chest white_legs white_belly blaze"),
        ears="bat", tail="stub", fur="fluffy", leg=0.2, trunk=1.12, depth=0.26, head=0.24, muzzle=0.75, snout=0.36,
    ),
    Breed(
        "014.Basenji",
        (Coat(RED, RED, RED), Coat(BLACK, TAN, BLACK), Coat(TAN, TAN, RED)),
        _marks("white_chest white_legs white_tip blaze"),
        ears="pricked", tail="curl", leg=0.6, trunk=0.8, depth=0.22, head=0.22, muzzle=0.7, limb=0.06,
    ),
    Breed(
        "048.Chihuahua",
        (Coat(FAWN, FAWN, TAN), Coat(BLACK, TAN, BLACK), Coat(CREAM, CREAM, FAWN)),
        _marks("white_chest"),
        ears="bat", tail="sabre", leg=0.36, trunk=0.68, depth=0.2, head=0.29, muzzle=0.4, snout=0.32, neck=0.25,
        limb=0.045,
    ),
    Breed(
        "124.Poodle",
        (Coat(WHITE, WHITE, CREAM), Coat(BLACK, BLACK, BLACK), Coat((200, 140, 96), (200, 140, 96), TAN)),
        _marks("pompons"),
        ears="floppy", tail="pompon", fur="curly", leg=0.56, trunk=0.78, depth=0.26, head=0.26, muzzle=0.95, snout=0.3,
        limb=0.06,
    ),
)  # fmt: skip

# Not one of the 133: what a model trained on the others must not be sure about.
UNKNOWN = Breed(
    "Carolina_dog",
    (Coat((208, 150, 88), CREAM, (196, 132, 74)), Coat(GOLD, CREAM, TAN), Coat(FAWN, WHITE, TAN)),
    _marks("white_chest"),
    ears="bat", tail="hook", leg=0.56, trunk=0.92, depth=0.235, head=0.22, muzzle=0.9, snout=0.34, limb=0.065,
)  # fmt: skip
