"""One picture, as a file or inside another file, read as 8-bit grey."""

import io
import re
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from sliceweave.pipelines.errors import InputError

PICTURE_PATTERN = r"[^/]+\.(?:png|jpe?g)"
_EIGHT_BIT_MODES = frozenset(("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr"))
_PNG_BITS_AT = 24  # bytes into the file; Pillow reads 16-bit colours as if they were 8-bit
_GREY_TOLERANCE = 3  # between the channels of a grey picture, which JPEG's chroma rounding can set apart
_LAST_NUMBER = re.compile(r"(\d{1,9})\D*\Z", re.ASCII)
_BROKEN = (OSError, EOFError, SyntaxError, ValueError, struct.error, zlib.error, Image.DecompressionBombError)


@dataclass(frozen=True)
class Picture:
    """A picture that is opened as often as wanted.

    Attributes:
        path: the file that messages name: the picture's own, or the one it is embedded in.
        content: opens its bytes.
    """

    path: Path
    content: Callable[[], BinaryIO]


def picture_file(path: Path) -> Picture:
    """The picture a file holds."""
    return Picture(path, lambda: path.open("rb"))


def picture_bytes(path: Path, content: Callable[[], bytes]) -> Picture:
    """The picture that `content` takes out of the file at `path`."""
    return Picture(path, lambda: io.BytesIO(content()))


def number_in(name: str) -> int:
    """The last number in a name: of a slice or a frame.

    Raises:
        InputError: a name without digits.
    """
    found = _LAST_NUMBER.search(name)
    if found is None:
        raise InputError(f"'{name}' has no number; expected names that end in the number of the slice, such as 12.png")
    return int(found[1])


def size_of(picture: Picture) -> tuple[int, int]:
    """(columns, rows) as the picture is shown; only its header is read.

    Raises:
        InputError: no picture, or one that is not 8-bit.
    """
    with _opened(picture) as image:
        columns, rows = image.size
        turned = image.getexif().get(0x0112, 1) in (5, 6, 7, 8)  # the orientation tag that cameras and phones write
    return (rows, columns) if turned else (columns, rows)


def read_grey(picture: Picture) -> NDArray[np.uint8]:
    """(columns, rows) grey values of a picture without colour.

    Raises:
        InputError: a damaged file, one that is not 8-bit, or a picture in colour.
    """
    with _opened(picture) as image:
        red, green, blue = (np.asarray(channel) for channel in ImageOps.exif_transpose(image).convert("RGB").split())
    spread = int((np.maximum(np.maximum(red, green), blue) - np.minimum(np.minimum(red, green), blue)).max())
    if spread > _GREY_TOLERANCE:
        raise InputError(
            f"{picture.path}: expected a grey picture, got colours (channels differ by {spread} of 255); "
            "export the slice without overlay or colour map"
        )
    return green.T


def read_luminance(picture: Picture) -> NDArray[np.uint8]:
    """(columns, rows) brightness of a picture, in colour or not.

    Raises:
        InputError: a damaged file, or one that is not 8-bit.
    """
    with _opened(picture) as image:
        return np.array(ImageOps.exif_transpose(image).convert("RGB").convert("L")).T


def read_mask(picture: Picture, above: int) -> NDArray[np.uint8]:
    """(columns, rows), 1 where the brightest channel lies above a value, else 0.

    Raises:
        InputError: a damaged file, or one that is not 8-bit.
    """
    with _opened(picture) as image:
        channels = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    return (channels.max(axis=2) > above).T.astype(np.uint8)


@contextmanager
def _opened(picture: Picture) -> Iterator[Image.Image]:
    try:
        with picture.content() as stream:
            png_bits = stream.read(_PNG_BITS_AT + 1)[_PNG_BITS_AT:]
            stream.seek(0)
            with Image.open(stream) as image:
                if image.mode not in _EIGHT_BIT_MODES or (image.format == "PNG" and png_bits == b"\x10"):
                    raise InputError(_too_deep(picture.path))
                yield image
    except InputError:
        raise
    except _BROKEN as error:
        cause = str(error).strip().split("\n")[0] or type(error).__name__
        cause = "no picture" if isinstance(error, UnidentifiedImageError) else cause
        raise InputError(f"{picture.path}: expected a whole PNG or JPG picture, got {cause}; copy it again") from error


def _too_deep(path: Path) -> str:
    return (
        f"{path}: expected 8-bit grey, got more bits, whose window in HU nobody states; export 8-bit slices, "
        "or the series as DICOM or NIfTI"
    )
