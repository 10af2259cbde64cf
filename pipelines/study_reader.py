"""MONAI's way to a study as `reading` reads it, and what it read for whoever needs the study once more."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

import numpy as np
import torch
from monai.config import PathLike
from monai.data import ImageReader
from monai.utils import MetaKeys, SpaceKeys, ensure_tuple

from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.file_stamps import sha256_of
from sliceweave.pipelines.geometry import Geometry
from sliceweave.pipelines.reading import Scan, find_sidecar, naming, read_scan
from sliceweave.pipelines.studies import image_suffix

MOST_KEPT_BYTES = 600_000_000
"""Of voxels: a study that would exceed it is read twice, for then memory is what is scarce."""


class ReadStudy(NamedTuple):
    """A scan, and the hash of its file."""

    scan: Scan
    sha256: str


class StudyReader(ImageReader):
    """MONAI's way to the same reading: `LoadImage(reader=StudyReader())` fails where `read_scan` does.

    Attributes:
        keeps: whether each study is kept until it is `taken`, the last ones as far as `MOST_KEPT_BYTES` go. Others
            share its voxels, and must not write to them.
    """

    def __init__(self) -> None:
        self.keeps = False
        self._kept: dict[Path, ReadStudy] = {}
        self._lock = Lock()  # one thread reads, another takes

    def __reduce__(self) -> tuple[type["StudyReader"], tuple[()]]:
        """Another process gets a reader that has kept nothing; a cache knows them all for the same."""
        return type(self), ()

    def taken(self, image: Path, study_id: str = "") -> ReadStudy:
        """The study as `read_scan` gives it and its file's hash: as it was read and kept, else read now.

        Raises:
            InputError: see `read_scan`.
        """
        with self._lock:
            kept = self._kept.pop(image, None)
        if kept is None:
            return ReadStudy(read_scan(image, study_id), sha256_of(image))
        sidecar = find_sidecar(image, study_id)
        with naming(image):
            grid = kept.scan.geometry
            geometry = Geometry.with_sidecar(grid.affine_ras, grid.shape, sidecar) if sidecar else grid
        return kept._replace(scan=replace(kept.scan, geometry=geometry))

    def _keep(self, image: Path, scan: Scan) -> None:
        study = ReadStudy(scan, sha256_of(image))
        with self._lock:
            self._kept.pop(image, None)
            self._kept[image] = study
            while self._kept and sum(kept.scan.voxels.nbytes for kept in self._kept.values()) > MOST_KEPT_BYTES:
                del self._kept[next(iter(self._kept))]

    def verify_suffix(self, filename: Sequence[PathLike] | PathLike) -> bool:
        """Whether each file name ends in a suffix that `read_scan` reads."""
        return all(image_suffix(Path(name)) for name in ensure_tuple(filename))

    def read(self, data: Sequence[PathLike] | PathLike, **_kwargs: Any) -> tuple[Path, ...]:
        """The paths only: where a reader fails here, LoadImage goes on to one that takes a truncated file for zeros."""
        return tuple(Path(name) for name in ensure_tuple(data))

    def get_data(self, img: tuple[Path, ...]) -> tuple[Any, dict[str, Any]]:
        """The voxels (I, J, K), and the metadata MONAI needs: affine in RAS mm, shape, and that there is no channel.

        As a tensor: of an array MONAI would make a copy in C order, in which slices are no longer in one piece.

        Raises:
            InputError: see `read_scan`; or several files.
        """
        if len(img) != 1:
            raise InputError(f"expected one file per image, got {len(img)}; load each under its own key")
        scan = read_scan(img[0])
        if self.keeps:
            self._keep(img[0], scan)
        affine_ras = np.array(scan.geometry.affine_ras)
        meta: dict[str, Any] = {
            MetaKeys.AFFINE: affine_ras,
            MetaKeys.ORIGINAL_AFFINE: affine_ras.copy(),
            MetaKeys.SPATIAL_SHAPE: np.array(scan.geometry.shape),
            MetaKeys.ORIGINAL_CHANNEL_DIM: "no_channel",
            MetaKeys.SPACE: SpaceKeys.RAS,
        }
        return torch.from_numpy(scan.voxels), meta
