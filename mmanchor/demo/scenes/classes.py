"""The classes of the demo scenes: names, colors, and what each looks like.

Ten classes: two background classes ("stuff") and eight objects ("things").
The objects lie 45 degrees apart on the hue circle and each spreads almost as
far to either side, ranges of brightness overlap, and every pattern belongs to
several classes: none of them names an object. Neighbors in hue differ in
habit (bright and smooth, or darker and patterned), and shapes that are easily
confused (ring and spiral, star and cross) lie far apart in hue.
"""

from dataclasses import dataclass

PATTERNS = ('plain', 'stripes', 'checks', 'dots', 'noise')


@dataclass(frozen=True)
class ThingClass:
    """What an object class looks like.

    Attributes:
        name: Class name, also the shape's name.
        category_id: Its id in the COCO file; ids have gaps, as COCO's do.
        hue: Middle of its hue range, degrees in [0, 360).
        value: Its range of brightness (the V of HSV).
        patterns: Patterns it may be filled with, likeliest first.
        stroke: Whether it is a thick line rather than a filled outline.
    """

    name: str
    category_id: int
    hue: float
    value: tuple[float, float]
    patterns: tuple[str, str, str]
    stroke: bool = False


_BRIGHT, _MEDIUM = (0.7, 1.0), (0.4, 0.75)

THINGS = (
    ThingClass('disc', 1, 0, _BRIGHT, ('plain', 'noise', 'dots')),
    ThingClass('star', 2, 45, _MEDIUM, ('checks', 'stripes', 'plain')),
    ThingClass('spiral', 3, 90, _BRIGHT, ('plain', 'noise', 'stripes'), True),
    ThingClass('rectangle', 5, 135, _MEDIUM, ('dots', 'checks', 'noise')),
    ThingClass('zigzag', 8, 180, _BRIGHT, ('noise', 'plain', 'checks'), True),
    ThingClass('cross', 9, 225, _MEDIUM, ('stripes', 'dots', 'plain')),
    ThingClass('ring', 11, 270, _BRIGHT, ('noise', 'plain', 'dots'), True),
    ThingClass('triangle', 14, 315, _MEDIUM, ('stripes', 'checks', 'noise')),
)

STUFF_CLASSES = ('sky', 'ground')
DEMO_THING_CLASSES = tuple(thing.name for thing in THINGS)

# Label order of the masks: mask value = index + 1, and 0 is unlabeled.
DEMO_CLASSES = STUFF_CLASSES + DEMO_THING_CLASSES

DEMO_PALETTE = (
    (135, 190, 235),
    (140, 115, 85),
    (230, 40, 40),
    (255, 190, 0),
    (120, 200, 0),
    (0, 130, 60),
    (0, 200, 200),
    (20, 70, 220),
    (150, 60, 220),
    (255, 90, 190),
)
