"""Pictures: a left and a right shape on a plain background, 112 x 112 pixels.

At 28 x 28 pixels an image token that is a grid of 4 x 4 tokens, two columns for each shape. The six colours are six
corners of the RGB cube and the backgrounds lie near its centre, so that colours stay far apart after normalisation.
"""

import io
import random
from dataclasses import dataclass

from PIL import Image, ImageDraw

__all__ = ["COLOURS", "SIDE_PX", "Scene", "draw_scene", "render"]

SIDE_PX = 112

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (230, 20, 20),
    "green": (20, 190, 40),
    "blue": (20, 40, 230),
    "yellow": (240, 225, 20),
    "black": (10, 10, 10),
    "white": (250, 250, 250),
}

_SHAPES = ("rectangle", "ellipse", "diamond")
_BACKGROUNDS = ((128, 128, 128), (150, 128, 128), (128, 150, 128), (128, 128, 150))
_MARGIN_PX = 7  # most of a half's tokens lie inside the shape


@dataclass(frozen=True)
class Scene:
    """What is in a picture. Boxes are (left, top, right, bottom) in pixels, one in each half."""

    colours: tuple[str, str]
    shapes: tuple[str, str]
    boxes: tuple[tuple[int, int, int, int], tuple[int, int, int, int]]
    background: tuple[int, int, int]


def draw_scene(rng: random.Random) -> Scene:
    """A scene with both colours even and independent, so that they may be equal."""
    names = list(COLOURS)
    return Scene(
        colours=(rng.choice(names), rng.choice(names)),
        shapes=(rng.choice(_SHAPES), rng.choice(_SHAPES)),
        boxes=(_box(rng, 0), _box(rng, SIDE_PX // 2)),
        background=rng.choice(_BACKGROUNDS),
    )


def render(scene: Scene, image_format: str = "PNG") -> bytes:
    """The scene as the bytes of a picture file, "PNG" or "JPEG"."""
    image = Image.new("RGB", (SIDE_PX, SIDE_PX), scene.background)
    draw = ImageDraw.Draw(image)
    for name, shape, box in zip(scene.colours, scene.shapes, scene.boxes, strict=True):
        _draw_shape(draw, shape, box, COLOURS[name])
    buffer = io.BytesIO()
    image.save(buffer, format=image_format, **({"quality": 95} if image_format == "JPEG" else {}))
    return buffer.getvalue()


def _box(rng: random.Random, left: int) -> tuple[int, int, int, int]:
    half = SIDE_PX // 2
    x0, y0 = left + rng.randint(0, _MARGIN_PX), rng.randint(0, _MARGIN_PX)
    return x0, y0, left + half - 1 - rng.randint(0, _MARGIN_PX), SIDE_PX - 1 - rng.randint(0, _MARGIN_PX)


def _draw_shape(
    draw: ImageDraw.ImageDraw, shape: str, box: tuple[int, int, int, int], colour: tuple[int, int, int]
) -> None:
    x0, y0, x1, y1 = box
    if shape == "rectangle":
        draw.rectangle(box, fill=colour)
    elif shape == "ellipse":
        draw.ellipse(box, fill=colour)
    else:
        middle_x, middle_y = (x0 + x1) // 2, (y0 + y1) // 2
        draw.polygon([(middle_x, y0), (x1, middle_y), (middle_x, y1), (x0, middle_y)], fill=colour)
