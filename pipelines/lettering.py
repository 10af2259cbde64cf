"""Text on a picture, in any script where OpenCV 5 brings its Unicode font, in plain Latin letters elsewhere."""

import functools
import unicodedata

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Colour = tuple[int, int, int]
Picture = NDArray[np.uint8]

UNICODE_FONT = hasattr(cv2, "FontFace")


def drawn_text(text: str) -> str:
    """The text as ``write`` draws it: itself, or with OpenCV 4 in Latin letters (see ``latin``)."""
    return text if UNICODE_FONT else latin(text)


def text_width_px(text: str, size_px: int) -> int:
    """Width of one line of text as ``write`` draws it."""
    if UNICODE_FONT:
        return int(cv2.getTextSize((0, 0), text, (0, 0), _unicode_font(), size_px)[2])
    return round(_latin_font(size_px).getlength(latin(text)))


def write(picture: Picture, text: str, baseline_px: tuple[int, int], size_px: int, colour: Colour) -> None:
    """Draws one line of text into the picture (H, W, 3), its left end at (x, y) of the baseline."""
    if UNICODE_FONT:
        cv2.putText(picture, text, baseline_px, colour, _unicode_font(), size_px)
        return
    canvas = Image.fromarray(picture)
    ImageDraw.Draw(canvas).text(baseline_px, latin(text), fill=colour, font=_latin_font(size_px), anchor="ls")
    picture[:] = np.asarray(canvas)


def latin(text: str) -> str:
    """Text in letters that Pillow's own font has: accents dropped, other scripts as escapes such as ``\\u5f20``."""
    bare = "".join(char for char in unicodedata.normalize("NFKD", text) if not unicodedata.combining(char))
    return bare.replace("·", "-").encode("ascii", "backslashreplace").decode("ascii")


@functools.cache
def _latin_font(size_px: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size_px)
    if not isinstance(font, ImageFont.FreeTypeFont):
        raise TypeError("expected a Pillow built with FreeType; install Pillow from its wheel")
    return font


def _unicode_font() -> "cv2.FontFace":
    return cv2.FontFace("uni")
