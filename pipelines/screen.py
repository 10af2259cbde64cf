"""How a slice lies on the screen: the radiological convention, for any order and direction of a scan's axes."""

from dataclasses import dataclass
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.orientations import apply_orientation, axcodes2ornt, io_orientation, ornt_transform
from numpy.typing import NDArray

from sliceweave.pipelines.geometry import Geometry

# Screen directions (to the viewer's right, downwards) by the body axis along which slices are stacked.
_SCREEN_AXES = {"S": ("L", "P"), "I": ("L", "P"), "A": ("L", "I"), "P": ("L", "I"), "R": ("P", "I"), "L": ("P", "I")}
_OPPOSITE = {"R": "L", "L": "R", "A": "P", "P": "A", "S": "I", "I": "S"}


@dataclass(frozen=True)
class Screen:
    """Turns the slices of one scan, stacked along the third array axis, the way a radiologist views them.

    Axial slices show the patient's right on the viewer's left and anterior up, coronal ones right on the left and
    superior up, sagittal ones anterior on the left and superior up. An oblique scan is shown in the nearest of these.
    The frames of a video lie nowhere in the body: they have no sides and no position, and without `has_lengths` nobody
    knows how long their pixels are.
    """

    geometry: Geometry
    is_video: bool = False
    has_lengths: bool = True

    def turn(self, volume: NDArray[Any]) -> NDArray[Any]:
        """View (rows down, columns to the right, slices in array order) of a volume (I, J, K)."""
        return np.swapaxes(apply_orientation(volume, self._turning()), 0, 1)

    @property
    def pixel_mm(self) -> tuple[float, float]:
        """Width and height of a pixel on the screen."""
        spacing_mm = [float(length_mm) for length_mm in self.geometry.spacing_mm[:2]]
        across = int(np.argmin(self._turning()[:2, 0]))
        return spacing_mm[across], spacing_mm[1 - across]

    @property
    def side_letters(self) -> tuple[str, str]:
        """Letters of the body sides at the viewer's left and right, ("R", "L") for axial slices."""
        if self.is_video:
            return "", ""
        right = _SCREEN_AXES[self._stack_letter()][0]
        return _OPPOSITE[right], right

    def name(self, slice_index: int) -> str:
        """What a slice is called."""
        return f"frame {slice_index}" if self.is_video else f"slice {slice_index}"

    def position(self, slice_index: int) -> str:
        """Where the middle of a slice lies along the stack, such as ``S 34.5 mm``."""
        if self.is_video:
            return ""
        middle = [[(size - 1) / 2 for size in self.geometry.shape[:2]] + [slice_index]]
        ras_axis = int(io_orientation(self.geometry.affine_ras)[2, 0])
        along_ras_mm = float(self.geometry.to_ras_mm(np.asarray(middle, float))[0, ras_axis])
        positive = "RAS"[ras_axis]
        return f"{positive if along_ras_mm >= 0 else _OPPOSITE[positive]} {abs(along_ras_mm):.1f} mm"

    def _stack_letter(self) -> str:
        return str(nib.aff2axcodes(self.geometry.affine_ras)[2])

    def _turning(self) -> NDArray[np.float64]:
        stack = self._stack_letter()
        target = axcodes2ornt((*_SCREEN_AXES[stack], stack))
        return np.asarray(ornt_transform(io_orientation(self.geometry.affine_ras), target))
