"""Head CT in HU, also where it was stored as the 8-bit grey of a brain window."""

import numpy as np
import torch
from monai.config import KeysCollection, NdarrayOrTensor
from monai.data import MetaTensor, get_track_meta
from monai.transforms import Identity, Transform
from monai.utils import TransformBackends, convert_to_dst_type, convert_to_numpy, convert_to_tensor
from numpy.typing import NDArray

from sliceweave.transforms.dictionary import Eachd
from sliceweave.transforms.skull import LOWEST_HU, inside_skull, intensity_range, real_values

BRAIN_WINDOW_HU = (-20.0, 100.0)
"""What 8-bit head CT is taken to show as black and as white: level 40, width 120."""

_WHITE = 255.0
_LOWEST_WHITE = 200.0  # bone is white in any window of the brain
_RINGING = 32.0  # grey levels by which an interpolation may pass black and white
_OVERSHOOT = 8.0  # and by which one that a user calls grey may
_BRAIN_HU = (15.0, 42.0)  # as grey of the brain window these would be -13 to 0 HU, which nothing in a skull has
_BRAIN_GREY = (85.0, 150.0)  # 20 to 50 HU in the brain window
_TISSUE = (2.0, 250.0)  # what is neither air nor bone in both
_GREY_SHARE = 0.25
_GREY_TO_HU = 3.0


def grey_window_hu(voxels: NDArray[np.float32], affine_ras: NDArray[np.float64]) -> tuple[float, float] | None:
    """HU that grey 0 and grey 255 of a head CT (I, J, K) stand for; None where the voxels are HU already.

    A range of 0 to 255 is that of 8-bit grey, but also of HU clipped to it. What lies inside the skull tells: most of
    it is at 85…150 as grey of the brain window, at 15…42 as HU, and neither blood nor fluid in half of it changes that.
    Where bone encloses no brain, all that is neither black nor white is asked instead. Only what speaks clearly for
    grey is mapped.
    """
    low, high = intensity_range(real_values(voxels, affine_ras))
    if low < -_RINGING or not _LOWEST_WHITE <= high <= _WHITE + _RINGING:
        return None
    indices = np.rint(inside_skull(voxels, affine_ras)).astype(int)
    values = voxels[tuple(indices.T)] if len(indices) else voxels[(voxels > _TISSUE[0]) & (voxels < _TISSUE[1])]
    is_grey = _share(values, _BRAIN_GREY) > max(_GREY_SHARE, _GREY_TO_HU * _share(values, _BRAIN_HU))
    return BRAIN_WINDOW_HU if is_grey else None


def _share(values: NDArray[np.float32], limits: tuple[float, float]) -> float:
    """Share of the values within limits; 0 without values."""
    return float(np.mean((values >= limits[0]) & (values <= limits[1]))) if values.size else 0.0


def grey_to_hu(grey: NDArray[np.float32], window_hu: tuple[float, float]) -> NDArray[np.float32]:
    """Grey levels 0…255, or fractions 0…1 of white, spread over a window; padding (-1024 and below) stays as it is.

    Raises:
        ValueError: values far outside 0…255, which are no grey levels.
    """
    real = grey[grey > LOWEST_HU]
    lowest, highest = (float(real.min()), float(real.max())) if real.size else (0.0, 0.0)
    if lowest < -_OVERSHOOT or highest > _WHITE + _OVERSHOOT:
        raise ValueError(
            f"override_intensity {window_hu[0]:g},{window_hu[1]:g} is for grey levels 0 to 255 (or 0 to 1), "
            f"got values {lowest:g} to {highest:g}: leave it out for this study"
        )
    white = 1.0 if highest <= 1 else _WHITE
    step_hu = np.float32((window_hu[1] - window_hu[0]) / white)
    return np.where(grey > LOWEST_HU, np.float32(window_hu[0]) + grey * step_hu, grey)


def to_head_hu(
    voxels: NDArray[np.float32], affine_ras: NDArray[np.float64], override: tuple[float, float] | None = None
) -> NDArray[np.float32]:
    """A head CT (I, J, K) in HU: itself, or its grey levels brought back to HU.

    Args:
        override: HU that grey 0 and 255 (of fractions: 0 and 1) stand for; None guesses, see `grey_window_hu`.

    Raises:
        ValueError: an override for what are no grey levels.
    """
    window_hu = override or grey_window_hu(voxels, affine_ras)
    return grey_to_hu(voxels, window_hu) if window_hu else voxels


class HeadHU(Transform):
    """A head CT in HU, whatever it was stored as: `(C, *S)`, of two or three spatial axes → `(C, *S)` float32.

    Real HU, and HU clipped to a window, stay as they are. 8-bit grey is brought back to HU (see `grey_window_hu`); 0…1
    is not recognised and needs an override. What a window cut off stays cut off. Axes and spacing are those of a
    MetaTensor's affine; anything else, and a plane, is taken for 1 mm apart and for axial slices, stacked last.

    Args:
        override: HU that grey 0 and grey 255 (of fractions: 0 and 1) stand for, in place of the guess. (0, 255) leaves
            HU that were taken for grey as they are.

    Raises:
        ValueError: an override for a scan whose values are no grey levels.
    """

    backend = [TransformBackends.NUMPY]

    def __init__(self, override: tuple[float, float] | None = None) -> None:
        self.override = override

    def __call__(self, img: NdarrayOrTensor) -> torch.Tensor:
        image = convert_to_tensor(img, dtype=torch.float32, track_meta=get_track_meta())
        voxels = convert_to_tensor(image, track_meta=False).cpu().numpy()
        is_volume = voxels.ndim == 4
        located = is_volume and isinstance(image, MetaTensor)
        affine_ras = np.asarray(convert_to_numpy(image.affine)) if located else np.eye(4)
        stacks = [*(voxels if is_volume else voxels[..., None])]
        in_hu = [to_head_hu(stack, affine_ras, self.override) for stack in stacks]
        if all(hu is stack for hu, stack in zip(in_hu, stacks, strict=True)):
            return image  # a long study is not copied for nothing
        return convert_to_dst_type(np.stack(in_hu).reshape(voxels.shape), dst=image)[0]

    def for_slices_of(self, image: torch.Tensor) -> Identity | None:
        """What gives any slices of an image the values they have in the whole: nothing for HU; None for grey levels."""
        if self.override or not isinstance(image, MetaTensor) or image.shape[:-3] != (1,):
            return None
        affine_ras = np.asarray(convert_to_numpy(image.affine))
        return None if grey_window_hu(image.as_tensor()[0].numpy(), affine_ras) else Identity()


class HeadHUd(Eachd):
    """Dictionary twin of `HeadHU`."""

    def __init__(
        self, keys: KeysCollection, override: tuple[float, float] | None = None, allow_missing_keys: bool = False
    ) -> None:
        super().__init__(keys, HeadHU(override), allow_missing_keys)
