"""What a report has to know of a task's studies besides the network: which way they are looked at and measured."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import nibabel as nib
import numpy as np
from nibabel.orientations import axcodes2ornt
from numpy.typing import NDArray

from sliceweave.pipelines.bundles import everywhere
from sliceweave.pipelines.cases import UNKNOWN_PIXEL_SIZE
from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.findings import head_flags, midline_r_mm, trunk_flags
from sliceweave.pipelines.geometry import Geometry
from sliceweave.pipelines.nifti_headers import has_unit
from sliceweave.pipelines.reading import Gridded, Scan
from sliceweave.pipelines.rows import StudyRows, without_lengths, without_volumes
from sliceweave.pipelines.screen import Screen
from sliceweave.transforms.head_hu import grey_to_hu, grey_window_hu

_OWN_RANGE = (1, 99)


_CHECKS: dict[str, Callable[[Scan], tuple[str, ...]]] = {
    "head_ct": lambda scan: head_flags(scan.voxels, scan.geometry, scan.intracranial_space),
    "ct": lambda scan: trunk_flags(scan.voxels, scan.geometry, scan.intracranial_space),
    "none": lambda _: (),
}


@dataclass(frozen=True)
class StudyKind:
    """The studies of one task.

    Attributes:
        axcodes: of the volume the network sees, slices last.
        window: lowest and highest value that pictures show, HU for CT; None takes each study's own 1st and 99th
            percentile.
        checks: which flags the voxels can earn: `head_ct`, `ct` or `none`.
        grey_window: HU that grey 0 and 255 of a head stand for; None takes them from the voxels (see `HeadHU`).
        has_volume: whether the third axis is a length; in a video it is time, and areas are what counts.

    Raises:
        InputError: there are no such checks.
    """

    axcodes: str
    window: Sequence[float] | None = None
    checks: str = "none"
    has_volume: bool = True
    grey_window: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if self.checks not in _CHECKS:
            raise InputError(f"study_kind: checks are {', '.join(_CHECKS)}, got {self.checks!r}")

    @classmethod
    def of_file(cls, geometry: Geometry) -> "StudyKind":
        """Studies of no task: looked at as their slices lie in the file, within their own range."""
        return cls("".join(nib.aff2axcodes(geometry.affine_ras)))

    @property
    def slice_axis(self) -> int:
        """Patient axis (0 R, 1 A, 2 S) across which lesions are measured slice by slice and shown."""
        return int(axcodes2ornt(tuple(self.axcodes))[-1, 0])

    def flags(self, scan: Scan) -> tuple[str, ...]:
        """What speaks against a study: its voxels, or that a video's header does not say how long a pixel is."""
        found = _CHECKS[self.checks](scan)
        return found if self.has_lengths(scan.header) else (*found, UNKNOWN_PIXEL_SIZE)

    def measurable(self, rows: StudyRows, scan: Gridded) -> StudyRows:
        """The rows without what cannot be known of such a study; of a video the areas are left."""
        if self.has_volume:
            return rows
        return without_volumes(rows) if self.has_lengths(scan.header) else without_lengths(rows)

    def has_lengths(self, header: nib.Nifti1Header) -> bool:
        """Whether a study can be measured in mm: all but a video whose header does not say how long a pixel is."""
        return self.has_volume or has_unit(header)

    def screen(self, scan: Gridded) -> Screen:
        """How the slices of a scan are shown."""
        return Screen(scan.geometry, is_video=not self.has_volume, has_lengths=self.has_lengths(scan.header))

    def middle_r_mm(self, scan: Scan) -> float | None:
        """R coordinate of the middle of the body part; None where it has no two sides."""
        is_head = self.checks == "head_ct"
        return midline_r_mm(scan.geometry, scan.intracranial_space) if is_head else None

    def window_of_greys(self, scan: Scan) -> tuple[float, float] | None:
        """HU that grey 0 and 255 of a head stand for; None for a scan in HU, and for all that is no head."""
        if self.checks != "head_ct":
            return None
        return self.grey_window or grey_window_hu(scan.voxels, scan.geometry.affine_ras)

    def shown(self, scan: Scan) -> NDArray[np.float32]:
        """The voxels as pictures show them: as the network sees them, before its window."""
        window_hu = self.window_of_greys(scan)
        return grey_to_hu(scan.voxels, window_hu) if window_hu else scan.voxels

    def shown_range(self, voxels: NDArray[np.float32]) -> tuple[float, float]:
        """Values shown as black and as white."""
        lowest, highest = self.window or np.percentile(voxels, _OWN_RANGE)
        return float(lowest), max(float(highest), float(lowest) + 1)


def study_kind(task: str) -> StudyKind:
    """The task's studies as its bundle describes them. Raises InputError where there is no such task."""
    settings = everywhere(task)
    own = {name: value for name, value in settings["study_kind"].items() if not str(value).startswith("@")}
    described = {name: value for name, value in own.items() if name != "_target_"}
    return StudyKind(axcodes=settings["axcodes"], **described)
