"""LabelMe annotations (versions 3 to 5): a JSON file of shapes drawn on one picture."""

import base64
import binascii
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import Any

from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.pictures import Picture, picture_bytes, picture_file

BACKGROUND = "_background_"
_NO_STRUCTURE = frozenset((BACKGROUND, "__ignore__"))
_PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".PNG", ".JPG", ".JPEG")
_ADVICE = "open the picture in LabelMe and save it again"


@dataclass(frozen=True)
class Shape:
    """One shape as the file has it; only what is drawn gets checked.

    Attributes:
        number: its place in the file, from 1.
        kind: polygon, circle, rectangle, mask, …; files of version 3 have polygons only and do not say so.
    """

    number: int
    label: str
    kind: str
    content: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The label as labels are compared: without regard to case and surrounding space."""
        return self.label.strip().casefold()


@dataclass(frozen=True)
class Annotation:
    """The shapes of one picture in the order of drawing.

    Attributes:
        path: the JSON file.
        stated_size: (columns, rows) of the picture according to the file, None where it does not say.
        image_path: where the picture lies from the JSON file's folder, as LabelMe wrote it.
        has_image: whether the picture is embedded.
    """

    path: Path
    shapes: tuple[Shape, ...]
    stated_size: tuple[int, int] | None
    image_path: str
    has_image: bool


def read_annotation(path: Path) -> Annotation:
    """The annotation a file holds.

    Raises:
        InputError: no JSON, no `shapes`, or a shape without a label.
    """
    content = read_json(path)
    shapes = content.get("shapes") if isinstance(content, dict) else None
    if not isinstance(shapes, list):
        raise InputError(f"{path}: expected a LabelMe file with a list of shapes, got none; {_ADVICE}")
    drawn = tuple(_shape(number, shape, path) for number, shape in enumerate(shapes, 1))
    size = content.get("imageWidth"), content.get("imageHeight")
    stated_size = size if all(isinstance(length, int) for length in size) else None
    return Annotation(path, drawn, stated_size, str(content.get("imagePath") or ""), bool(content.get("imageData")))


def read_json(path: Path) -> Any:
    """What a JSON file holds.

    Raises:
        InputError: it cannot be read, or is not JSON.
    """
    try:
        return json.loads(path.read_bytes().removeprefix(b"\xef\xbb\xbf"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: expected a LabelMe file, but it is not JSON ({error}); {_ADVICE}") from error


def structure_names(annotation: Annotation) -> list[str]:
    """The name of each shape that is neither background nor to be ignored."""
    return [shape.name for shape in annotation.shapes if shape.name not in _NO_STRUCTURE]


def picture_of(annotation: Annotation, root: Path) -> Picture:
    """The picture that was annotated: at `imagePath`, else of the same stem beside the JSON file, else embedded.

    Raises:
        InputError: `imagePath` leaves the root, or there is no picture.
    """
    named = _inside(annotation, root)
    if named is not None and os.path.isfile(named):
        return picture_file(named)
    if beside := picture_beside(annotation.path):
        return picture_file(beside)
    if annotation.has_image:
        return picture_bytes(annotation.path, lambda: _embedded(annotation.path))
    raise InputError(f"{annotation.path}: expected the picture '{annotation.image_path}', found none; copy it there")


def picture_beside(path: Path) -> Path | None:
    """The picture with the stem of a JSON file in the same folder."""
    return next((beside for suffix in _PICTURE_SUFFIXES if (beside := path.with_suffix(suffix)).is_file()), None)


def _shape(number: int, content: Any, path: Path) -> Shape:
    label = content.get("label") if isinstance(content, dict) else None
    if not isinstance(label, str):
        raise InputError(f"{path}: shape {number} has no label; {_ADVICE}")
    return Shape(number, label, str(content.get("shape_type") or "polygon"), content)


def _inside(annotation: Annotation, root: Path) -> Path | None:
    """Where `imagePath` leads, links followed; None where it is empty."""
    if not annotation.image_path:
        return None
    written = PureWindowsPath(annotation.image_path)  # takes slashes and backslashes alike
    try:
        path = (annotation.path.parent / written.as_posix()).resolve()
    except (OSError, ValueError) as error:
        raise InputError(f"{annotation.path}: imagePath is no path ({error}); {_ADVICE}") from error
    if written.anchor or not path.is_relative_to(root.resolve()):
        raise InputError(
            f"{annotation.path}: imagePath '{annotation.image_path}' leaves the data set's folder; "
            "expected a relative path inside, copy the picture beside the JSON file and save again"
        )
    return path


def _embedded(path: Path) -> bytes:
    try:
        return base64.b64decode(read_json(path)["imageData"], validate=False)
    except (binascii.Error, TypeError, ValueError) as error:
        raise InputError(f"{path}: imageData is no base64 text ({error}); {_ADVICE}") from error
