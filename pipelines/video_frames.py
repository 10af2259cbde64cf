"""Single frames of a video as grey pictures, read in order: seeking in a video is not exact."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from sliceweave.pipelines.errors import InputError

_RIFF_HEADER_BYTES = 8


class VideoSize(NamedTuple):
    """What the header of a video claims, in pixels and frames."""

    width: int
    height: int
    frames: int


def video_size(path: Path) -> VideoSize:
    """The size of a video.

    Raises:
        InputError: the file is missing, damaged or shorter than it says of itself.
    """
    with _opened(path) as video:
        fields = (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT, cv2.CAP_PROP_FRAME_COUNT)
        return VideoSize(*(int(video.get(field)) for field in fields))


def grey_frames(path: Path, wanted: Sequence[int], frame_count: int) -> Iterator[NDArray[np.uint8]]:
    """The luminance (W, H, 1) of the wanted frames, counted from 0, in the order of the video.

    Raises:
        InputError: the video ends before it has given all of its frames, wanted or not.
    """
    chosen = set(wanted)
    with _opened(path) as video:
        for number in range(frame_count):
            whole, frame = video.read() if number in chosen else (video.grab(), None)
            if not whole:
                raise InputError(
                    f"{path.name}: expected {frame_count} frames, got {number}: cut short or damaged; copy it again"
                )
            if frame is not None:
                yield np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY), dtype=np.uint8).T[..., None]


@contextmanager
def _opened(path: Path) -> Iterator[cv2.VideoCapture]:
    _check_length(path)
    video = cv2.VideoCapture(str(path))
    try:
        if not video.isOpened():
            raise InputError(f"{path.name}: expected a video, got a file that cannot be read as one; copy it again")
        yield video
    finally:
        video.release()


def _check_length(path: Path) -> None:
    """Raises InputError where an AVI is shorter than its header says: decoders make up the rest of a cut frame."""
    try:
        with path.open("rb") as file:
            start = file.read(_RIFF_HEADER_BYTES)
        present = path.stat().st_size
    except OSError as error:
        raise InputError(f"{path.name}: expected a file that can be read, got: {error.strerror}") from error
    claimed = _RIFF_HEADER_BYTES + int.from_bytes(start[4:8], "little")
    if start[:4] == b"RIFF" and present < claimed:
        raise InputError(f"{path.name}: expected {claimed} bytes, got {present}: cut short; copy it again")
