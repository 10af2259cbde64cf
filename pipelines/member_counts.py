"""How much each member of a test-time augmentation found: voxels on the network's grid, and millilitres of them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sliceweave.pipelines.geometry import Geometry

_PARALLEL = 0.999


@dataclass(frozen=True, eq=False)
class MemberCounts:
    """Voxels of each label in each member's mask, slice by slice, and where the network's grid lies.

    A member's volume is taken where the network sees it, not resampled to the scan's grid: a few numbers a slice are
    kept of each member in place of its probabilities. The network's grid covers what the scan's covers, so what its
    voxels hold are the scan's own millilitres; a mask differs by how its edge is resampled, alike in all members.

    Attributes:
        voxels: (members, labels, slices).
        affine_ras: (4, 4), of the network's grid; slices are stacked along the third axis.
    """

    voxels: NDArray[np.int64]
    affine_ras: NDArray[np.float64]

    def volumes_ml(self, geometry: Geometry) -> NDArray[np.float64]:
        """(members, labels) on a scan of that geometry: |det(affine)| a voxel, uneven slices as thick as they are."""
        voxel_ml = abs(float(np.linalg.det(self.affine_ras[:3, :3]))) / 1000
        return np.asarray(self.voxels @ self._slice_weights(geometry) * voxel_ml)

    def spreads_ml(self, geometry: Geometry) -> NDArray[np.float64]:
        """(labels,) standard deviation (of the members as they are, by their number) of the volume; 0 if all agree."""
        return np.asarray(self.volumes_ml(geometry).std(axis=0))

    def _slice_weights(self, geometry: Geometry) -> NDArray[np.float64]:
        """(slices,) true thickness of each slice by the affine's; their mean where the network stacks another axis."""
        nominal_mm3 = abs(np.linalg.det(geometry.affine_ras[:3, :3]))
        weights = geometry.slice_thicknesses_mm * geometry.pixel_area_mm2 / nominal_mm3
        cosine = _cosine(self.affine_ras[:3, 2], geometry.affine_ras[:3, 2])
        slices = self.voxels.shape[-1]
        if abs(cosine) < _PARALLEL or len(weights) != slices:
            return np.full(slices, weights.mean())
        return weights if cosine > 0 else weights[::-1]


def label_counts(probabilities: torch.Tensor, threshold: float | None) -> NDArray[np.int64]:
    """Voxels of each label on each slice, (labels, K), of probabilities (C, I, J, K) decided as the bundles decide.

    Without a threshold the likeliest channel wins, and the first is the background.
    """
    if threshold is not None:
        found = probabilities >= threshold
    else:
        values = torch.arange(1, len(probabilities), device=probabilities.device)
        found = probabilities.argmax(0) == values.reshape(-1, 1, 1, 1)
    counts: NDArray[Any] = found.sum(dim=(1, 2)).cpu().numpy()
    return counts.astype(np.int64)


def _cosine(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    return float(first @ second / (np.linalg.norm(first) * np.linalg.norm(second)))
