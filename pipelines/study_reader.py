"""MONAI's way to a study as `reading` reads it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from monai.config import PathLike
from monai.data import ImageReader
from monai.utils import MetaKeys, SpaceKeys, ensure_tuple
from numpy.typing import NDArray

from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.reading import read_scan
from sliceweave.pipelines.studies import image_suffix


class StudyReader(ImageReader):
    """MONAI's way to the same reading: `LoadImage(reader=StudyReader())` fails where `read_scan` does."""

    def verify_suffix(self, filename: Sequence[PathLike] | PathLike) -> bool:
        """Whether each file name ends in a suffix that `read_scan` reads."""
        return all(image_suffix(Path(name)) for name in ensure_tuple(filename))

    def read(self, data: Sequence[PathLike] | PathLike, **_kwargs: Any) -> tuple[Path, ...]:
        """The paths only: where a reader fails here, LoadImage goes on to one that takes a truncated file for zeros."""
        return tuple(Path(name) for name in ensure_tuple(data))

    def get_data(self, img: tuple[Path, ...]) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """The voxels (I, J, K) and the metadata MONAI needs: affine in RAS mm, shape, and that there is no channel.

        Raises:
            InputError: see `read_scan`; or several files.
        """
        if len(img) != 1:
            raise InputError(f"expected one file per image, got {len(img)}; load each under its own key")
        scan = read_scan(img[0])
        affine_ras = np.array(scan.geometry.affine_ras)
        meta: dict[str, Any] = {
            MetaKeys.AFFINE: affine_ras,
            MetaKeys.ORIGINAL_AFFINE: affine_ras.copy(),
            MetaKeys.SPATIAL_SHAPE: np.array(scan.geometry.shape),
            MetaKeys.ORIGINAL_CHANNEL_DIM: "no_channel",
            MetaKeys.SPACE: SpaceKeys.RAS,
        }
        return scan.voxels, meta
