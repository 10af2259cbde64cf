"""EchoNet-Dynamic: videos of the apical four-chamber view with two of their frames traced.

Ouyang et al. 2020, doi:10.1038/s41586-020-2145-8. A study holds the traced frames alone, in the order of time.
"""

import logging
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sliceweave.pipelines.cases import UNKNOWN_PIXEL_SIZE, Case, PrepareOptions, SliceStack, SourceFiles, broken
from sliceweave.pipelines.chord_tracings import check_inside, outlines_xy, pixels_inside
from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.geometry import Geometry
from sliceweave.pipelines.slice_spacing import SpacingTable, spacing_table
from sliceweave.pipelines.video_frames import grey_frames, video_size
from sliceweave.pipelines.volume_pairs import by_study

log = logging.getLogger(__name__)

_TRACINGS, _FILE_LIST = "VolumeTracings.csv", "FileList.csv"
_SPLITS = {"TRAIN": "training", "VAL": "validation", "TEST": "test"}
_TRACING_COLUMNS = ["X1", "Y1", "X2", "Y2", "Frame"]
_LIST_COLUMNS = ["Split", "NumberOfFrames"]
_MOST_FRAMES = 1_000_000
_SUFFIX = re.compile(r"\.avi\Z", re.IGNORECASE)


class _Entry(NamedTuple):
    """What `FileList.csv` says of a video: its splits in upper case, and how many frames, 0 where it says none."""

    splits: frozenset[str]
    frames: int


def find_echonet(files: SourceFiles, options: PrepareOptions) -> list[Case]:
    """A case for each traced video, with the data set's own split; videos without tracings are left out."""
    cases: list[Case] = []
    found = files.named(_TRACINGS.replace(".", r"\."))
    if not found:
        return cases
    spacing = spacing_table(files, options)
    for tracings, _ in found:
        folder = tracings.parent
        videos = [path for path, _ in files.named(r"[^/]+\.avi") if folder in path.parents]
        files.take([tracings, folder / _FILE_LIST, *videos])
        try:
            rows, entries = _tracings(tracings), _entries(folder / _FILE_LIST)
        except InputError as error:
            cases.append(broken(folder.name, str(error)))
            continue
        by_name = by_study((path.stem, path) for path in videos)
        log.info("EchoNet-Dynamic: left out %d videos without tracings", len(by_name.keys() - rows.keys()))
        cases += [_case(name, rows[name], by_name.get(name, []), entries.get(name), spacing) for name in sorted(rows)]
    return cases


def _tracings(path: Path) -> dict[str, NDArray[np.float64]]:
    """The rows of each video in the table's order, as numbers or NaN."""
    table = _table(path, _TRACING_COLUMNS)
    numbers = table[_TRACING_COLUMNS].apply(pd.to_numeric, errors="coerce").to_numpy(np.float64)
    return {str(name): numbers[at] for name, at in table.groupby("FileName", sort=False).indices.items()}


def _entries(path: Path) -> dict[str, _Entry]:
    table = _table(path, _LIST_COLUMNS)
    numbers = pd.to_numeric(table["NumberOfFrames"], errors="coerce")
    frames = numbers.fillna(0).clip(0, _MOST_FRAMES).astype(int)
    splits = table["Split"].astype(str).str.strip().str.upper()
    entries: dict[str, _Entry] = {}
    for name, split, count in zip(table["FileName"], splits, frames, strict=True):
        earlier = entries.get(name, _Entry(frozenset(), 0))
        entries[name] = _Entry(earlier.splits | {split}, max(earlier.frames, count))
    return entries


def _table(path: Path, columns: list[str]) -> pd.DataFrame:
    """A table of the data set, its file names without `.avi`: some have it and some do not, in either table."""
    try:
        table = pd.read_csv(path, encoding="utf-8-sig", low_memory=False, dtype={"FileName": str}, index_col=False)
    except (OSError, ValueError) as error:
        raise InputError(f"{path.name}: expected a CSV table, but {' '.join(str(error).split())}") from error
    missing = [column for column in ("FileName", *columns) if column not in table]
    if missing:
        found = ", ".join(map(str, table.columns))
        raise InputError(f"{path.name}: expected the columns {', '.join(missing)}, found {found}; give the whole table")
    plain = {name: _SUFFIX.sub("", str(name).strip()) for name in table["FileName"].dropna().unique()}
    return table.assign(FileName=table["FileName"].map(plain))


def _case(
    name: str, rows: NDArray[np.float64], videos: list[Path], entry: _Entry | None, spacing: SpacingTable
) -> Case:
    reason = _complaint(name, videos, entry)
    if reason or entry is None:
        return broken(name, reason, name)
    (split,) = entry.splits
    video = _TracedVideo(videos[0], rows, entry.frames, spacing.of(name).pixel_mm)
    return Case(name, video.image, video.label, patient=name, split=_SPLITS[split])


def _complaint(name: str, videos: list[Path], entry: _Entry | None) -> str:
    """What keeps a traced video from being a study of one split; empty where nothing does."""
    if len(videos) != 1:
        return f"expected one video Videos/{name}.avi for its tracings, found {len(videos)}; add it or keep one"
    if entry is None:
        return f"expected {name} in {_FILE_LIST}, found no row of it; add one with its Split"
    splits = sorted(entry.splits)
    if len(splits) > 1:
        return f"expected {name} in one split, found it in two splits ({' and '.join(splits)}); correct {_FILE_LIST}"
    if splits[0] not in _SPLITS:
        return f"expected Split {', '.join(_SPLITS)}, got '{splits[0]}'; correct {_FILE_LIST}"
    return ""


@final
@dataclass(frozen=True, eq=False)
class _TracedVideo:
    """A video and its tracings, rows of x1, y1, x2, y2, frame; the data set tells no pixel size."""

    path: Path
    rows: NDArray[np.float64]
    listed_frames: int
    pixel_mm: float | None

    def image(self) -> SliceStack:
        """The luminance of the traced frames, (W, H, frames)."""
        geometry, frames, outlines = self._checked()
        return self._stack(geometry, lambda: grey_frames(self.path, list(outlines), frames))

    def label(self) -> SliceStack:
        """The cavity in the traced frames, (W, H, frames)."""
        geometry, _, outlines = self._checked()
        width, height, _ = geometry.shape

        def masks() -> Iterator[NDArray[np.uint8]]:
            for outline_xy in outlines.values():
                yield pixels_inside(outline_xy, width, height)[..., None]

        return self._stack(geometry, masks)

    def _checked(self) -> tuple[Geometry, int, dict[int, NDArray[np.float64]]]:
        """Grid of the study, number of frames of the video, and the outline of each traced frame."""
        width, height, frames = video_size(self.path)
        frames = max(frames, self.listed_frames)
        try:
            outlines = outlines_xy(self.rows)
            for outline_xy in outlines.values():
                check_inside(outline_xy, width, height)
        except InputError as error:
            raise InputError(f"{_TRACINGS}: {error}") from error
        if max(outlines) >= frames:
            raise InputError(
                f"{self.path.name}: expected tracings of frames 0 to {frames - 1}, got one of frame {max(outlines)}; "
                f"correct {_TRACINGS} or copy the video again"
            )
        pixel_mm = self.pixel_mm or 1.0
        return Geometry(np.diag([-pixel_mm, -pixel_mm, 1, 1]), (width, height, len(outlines))), frames, outlines

    def _stack(self, geometry: Geometry, blocks: Callable[[], Iterator[NDArray[np.uint8]]]) -> SliceStack:
        return SliceStack(geometry, np.uint8, blocks, () if self.pixel_mm else (UNKNOWN_PIXEL_SIZE,))
