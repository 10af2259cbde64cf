"""Small lesions dropped from a mask, on the scan's own grid and by their true volume."""

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import cc3d
import numpy as np
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform
from monai.utils import convert_to_dst_type, convert_to_numpy
from numpy.typing import NDArray

from sliceweave.pipelines.geometry import Geometry
from sliceweave.pipelines.options import amount
from sliceweave.pipelines.reading import read_grid


def without_small_lesions(mask: NDArray[np.uint8], geometry: Geometry, min_lesion_ml: float) -> NDArray[np.uint8]:
    """The mask (I, J, K) without its 26-connected components below a volume; an empty mask stays empty.

    A component is of one label. Each voxel counts with the true thickness of its slice.
    """
    components = cc3d.connected_components(mask.astype(np.uint8, order="C"), connectivity=26)
    slice_voxels = [
        np.bincount(plane.ravel(), minlength=components.max() + 1) for plane in np.moveaxis(components, 2, 0)
    ]
    volumes_ml = geometry.slice_thicknesses_mm @ np.stack(slice_voxels) * geometry.pixel_area_mm2 / 1000
    is_kept = (volumes_ml >= min_lesion_ml)[components]
    return np.where(is_kept, mask, 0).astype(mask.dtype)


class DropSmallLesionsd(MapTransform):
    """Masks `(1, I, J, K)` without lesions below a volume, for postprocessing; see `without_small_lesions`.

    The grid is that of the file a mask's `filename_or_obj` names, uneven slices with it, if it has the mask's shape;
    else the mask's own affine.

    Args:
        min_lesion_ml: 0 drops nothing.

    Raises:
        InputError: it is no volume.
    """

    def __init__(self, keys: KeysCollection, min_lesion_ml: float = 0.0, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.min_lesion_ml = amount(min_lesion_ml, "min_lesion_ml")

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        case = dict(data)
        if self.min_lesion_ml > 0:
            for key in self.key_iterator(case):
                case[key] = self.filtered(case[key], str(case.get("study_id", "")))
        return case

    def filtered(self, mask: MetaTensor, study_id: str) -> MetaTensor:
        """One mask without its small lesions."""
        voxels = convert_to_numpy(mask)[0].astype(np.uint8)
        kept = without_small_lesions(voxels, grid_of(mask, study_id), self.min_lesion_ml)
        return convert_to_dst_type(kept[None], dst=mask)[0]


def grid_of(mask: MetaTensor, study_id: str = "") -> Geometry:
    """The grid a mask `(1, I, J, K)` lies on."""
    path, (rows, columns, slices) = Path(str(mask.meta.get("filename_or_obj", ""))), mask.shape[1:]
    if path.is_file():
        geometry, _ = read_grid(path, study_id)
        if geometry.shape == (rows, columns, slices):
            return geometry
    return Geometry(np.asarray(convert_to_numpy(mask.affine), np.float64), (rows, columns, slices))
