"""Bone of a clipped scan given HU again, so that what blurs a scan makes its bone bleed as far as real bone does."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from sliceweave.transforms.head_scan import HeadScan, Stack
from sliceweave.transforms.hematoma_growth import draw_seed
from sliceweave.transforms.skull import NARROW_RANGE_HU

_TEXTURE_MM = 3.0
_LEAST_SHARE = 0.4  # diploë beside cortical bone


@dataclass(frozen=True)
class BoneHU:
    """HU above a clipped scan's ceiling, as drawn; a scan that has them keeps its own.

    Attributes:
        cortex_hu: of the densest bone.
        edge_mm: depth in bone at which it is reached.
        seed: of where marrow makes it less dense.
    """

    cortex_hu: float
    edge_mm: float
    seed: int

    def apply(self, scan: HeadScan) -> HeadScan:
        ceiling_hu = float(scan.hu.max())
        if ceiling_hu > NARROW_RANGE_HU:
            return scan
        rng = np.random.default_rng(self.seed)
        density = self._density(rng, scan)
        hu = scan.hu.copy()
        for plane in hu:
            depth_mm = self._depth_mm(plane >= ceiling_hu, scan.spacing_mm)
            share = np.minimum(depth_mm / np.float32(self.edge_mm), 1) * density
            plane += share * np.float32(self.cortex_hu - ceiling_hu)
        return scan.painted(hu)

    @staticmethod
    def _depth_mm(bone: NDArray[np.bool_], spacing_mm: tuple[float, float, float]) -> Stack:
        """In the plane; its pixels are nearly square."""
        pixels = cv2.distanceTransform(bone.astype(np.uint8), cv2.DIST_L2, 3)
        return np.asarray(pixels * np.float32(np.sqrt(spacing_mm[0] * spacing_mm[1])))

    @staticmethod
    def _density(rng: np.random.Generator, scan: HeadScan) -> Stack:
        """(I, J): share of the cortex's HU, alike in all slices."""
        white = rng.standard_normal(scan.hu.shape[1:], dtype=np.float32)
        smooth = cv2.GaussianBlur(white, (0, 0), _TEXTURE_MM / scan.spacing_mm[0])
        shares = 0.5 * (1 + _LEAST_SHARE) + 0.25 * smooth / max(float(smooth.std()), 1e-6)
        return np.asarray(np.clip(shares, _LEAST_SHARE, 1), np.float32)


def draw_bone_hu(rng: np.random.RandomState) -> BoneHU:
    """700 to 1,900 HU, reached within 0.5 to 2 mm."""
    return BoneHU(float(rng.uniform(700, 1900)), float(rng.uniform(0.5, 2)), draw_seed(rng))
