"""A bleeding's look: its body on the scan's own pixels, with partial volume, mottle and the scan's noise."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from sliceweave.transforms.head_anatomy import Head, csf_share
from sliceweave.transforms.head_scan import HeadScan
from sliceweave.transforms.hematoma_growth import Bleeding, Blood, Growth
from sliceweave.transforms.lattice import Field
from sliceweave.transforms.lattice_planes import LatticePlanes, Plane
from sliceweave.transforms.scan_noise import ScanNoise, measured_noise

_CSF_BLUR_MM = 0.7
_SURELY_BONE_HU = 400.0  # ridges of the skull base lie as deep as brain does
_SWELLS = 1.3  # gain from which blood also fills sulci too thin to be dark
_SULCUS_MM = 5.0
_SMEAR_MM = 0.5
_CEILING_HU = 55.0  # above the brain: what blood has at most, mottle and all


@dataclass(frozen=True, eq=False)
class Canvas:
    """A scan with a head, ready to be painted."""

    scan: HeadScan
    head: Head

    @cached_property
    def grid(self) -> LatticePlanes:
        return LatticePlanes(self.head.lattice, self.scan.hu.shape, self.scan.spacing_mm)

    @cached_property
    def noise(self) -> ScanNoise:
        return measured_noise(self.scan.hu, self.head, self.grid)

    @cached_property
    def ceiling_hu(self) -> float:
        """The scan's highest value: a windowed scan stays within its window."""
        return float(self.scan.hu.max())


def bleed(scan: HeadScan, bleedings: Sequence[Bleeding]) -> HeadScan:
    """The scan with these bleedings painted into it, one after the other; unchanged where there is no head.

    Their share of each voxel is added to the scan's, where blood meets blood the larger counts.
    """
    if scan.head is None:
        return scan
    for bleeding in bleedings:
        growth = bleeding.grow(scan.head)
        if growth is not None:
            scan = painted(Canvas(scan, scan.head), growth, bleeding.blood)
    return scan


def imitate(scan: HeadScan, lookalikes: Sequence[Bleeding]) -> HeadScan:
    """The scan with things painted into it that look like blood and are none: its share stays as it is."""
    return replace(bleed(scan, lookalikes), share=scan.share)


def painted(canvas: Canvas, growth: Growth, blood: Blood) -> HeadScan:
    """The scan with one body of blood in it."""
    hu, share = canvas.scan.hu.copy(), canvas.scan.share.copy()
    rng = np.random.default_rng(blood.seed)
    swirl_hu = blood.swirl_hu * canvas.head.lattice.noise(rng, blood.swirl_mm)
    rows, columns = canvas.grid.box
    for k in canvas.grid.slices(_touched(growth)):
        brush = _Brush(canvas, growth, blood, k)
        tissue = brush.with_oedema(brush.displaced(hu[k, rows, columns]))
        old = brush.carried(share[k, rows, columns], hu[k, rows, columns])
        own = brush.share(tissue)
        hu[k, rows, columns] = brush.mixed(tissue, own, swirl_hu, rng)
        share[k, rows, columns] = np.maximum(old, own)
    return canvas.scan.painted(np.clip(hu, canvas.scan.hu.min(), canvas.ceiling_hu), share)


def _touched(growth: Growth) -> NDArray[np.bool_]:
    """Lattice points that look different afterwards."""
    touched = growth.extent_mm > -2
    if growth.oedema_mm is not None:
        touched = touched | (growth.oedema_mm > 0)
    if growth.shift_mm is not None:
        touched = touched | (np.abs(growth.shift_mm[0]) > 0.15) | (np.abs(growth.shift_mm[1]) > 0.15)
    return np.asarray(touched)


@dataclass(frozen=True, eq=False)
class _Brush:
    """One bleeding in slice k of a canvas; planes are those of the canvas's box."""

    canvas: Canvas
    growth: Growth
    blood: Blood
    k: int

    def _middle(self, field: Field) -> Plane:
        return self.canvas.grid.plane(field, self.canvas.grid.height(self.k))

    def displaced(self, plane: Plane) -> Plane:
        """The plane after tissue has been pushed. Bone stays; what would be drawn inward from it is brain."""
        if self.growth.shift_mm is None:
            return plane
        is_skull = self._is_skull(plane)
        brain = np.where(is_skull, np.float32(self.canvas.head.brain_hu), plane)
        return np.where(is_skull, plane, self._moved(brain))

    def _moved(self, plane: Plane) -> Plane:
        right_mm, front_mm, _ = self.canvas.scan.spacing_mm
        right, front = (self._middle(shift) for shift in self.growth.shift_mm or ())
        rows, columns = np.indices(plane.shape, np.float32)
        sources = columns - front / np.float32(front_mm), rows - right / np.float32(right_mm)
        return np.asarray(cv2.remap(plane, *sources, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE))

    def carried(self, share: Plane, plane: Plane) -> Plane:
        """Share of blood that was there before, pushed with the tissue that it lies in."""
        if self.growth.shift_mm is None or not share.any():
            return share
        return np.where(self._is_skull(plane), share, np.clip(self._moved(share), 0, 1))

    def _is_skull(self, plane: Plane) -> NDArray[np.bool_]:
        """Bone and what it shares a pixel with, and all outside."""
        depth_mm = self._middle(self.canvas.head.depth_mm)
        is_near = (plane > self.canvas.head.brain_hu + 22) & (depth_mm < 4)
        return np.asarray((depth_mm < -2) | is_near | (plane > _SURELY_BONE_HU))

    def with_oedema(self, plane: Plane) -> Plane:
        """Brain made darker by water, more in white matter, CSF and bone as they were."""
        if self.growth.oedema_mm is None:
            return plane
        head = self.canvas.head
        wet = self.canvas.grid.mean(np.minimum(self.growth.oedema_mm, head.depth_mm - 1), self.k, 3.0)
        is_brain = np.clip((plane - head.csf_hu) / 8, 0, 1) * (plane < head.brain_hu + 30)
        return np.asarray(plane - self.growth.oedema_hu * wet * is_brain, np.float32)

    def share(self, tissue: Plane) -> Plane:
        """Share of each pixel that is blood, none of it in bone."""
        share = self.canvas.grid.mean(self.growth.extent_mm, self.k, self.blood.edge_mm)
        if self.growth.csf_gain:
            share = share * np.clip(self.growth.csf_gain * self._csf(tissue), 0, 1)
        if self.growth.csf_gain >= _SWELLS:
            share = _blurred(share, _SMEAR_MM, self.canvas.scan.spacing_mm)
        return np.asarray(share * (1 - _bone_share(tissue, self.canvas)), np.float32)

    def _csf(self, tissue: Plane) -> Plane:
        """Share of each pixel that is CSF: dark, or darker than what is around it, as thin sulci are."""
        head, spacing_mm = self.canvas.head, self.canvas.scan.spacing_mm
        soft = np.clip(tissue, head.csf_hu - 10, head.brain_hu + 10)
        smooth = _blurred(soft, _CSF_BLUR_MM, spacing_mm)
        dark = csf_share(smooth, head.brain_hu, head.csf_hu)
        if self.growth.csf_gain < _SWELLS:
            return dark
        return np.maximum(dark * _clearly_dark(soft, head, spacing_mm), self._folds(soft))

    def _folds(self, soft: Plane) -> Plane:
        """Thin dark lines near the surface of the brain, clear of the noise."""
        spacing_mm, head = self.canvas.scan.spacing_mm, self.canvas.head
        fine, wide = (_blurred(soft, width_mm, spacing_mm) for width_mm in (1.0, _SULCUS_MM))
        contrast = wide - fine
        depth_mm = self._middle(head.depth_mm)
        deep = contrast[depth_mm > 12]
        noise_hu = 1.48 * float(np.median(np.abs(deep - np.median(deep)))) if deep.size else 1.0
        fold = np.clip((contrast - 3 * noise_hu) / (0.35 * (head.brain_hu - head.csf_hu)), 0, 1)
        return np.asarray(fold * np.clip((24 - depth_mm) / 6, 0, 1), np.float32)

    def mixed(self, tissue: Plane, share: Plane, swirl_hu: Field, rng: np.random.Generator) -> Plane:
        """The tissue with its share of blood."""
        head = self.canvas.head
        if not (share > 0).any():
            return tissue
        blood_hu = self._blood_hu(swirl_hu)
        noise_hu = self.canvas.noise.plane(rng, (share.shape[0], share.shape[1]))
        if self.growth.csf_gain:
            # blood takes the CSF's place; what it swells into gives way
            fluid = np.clip(head.csf_hu - tissue, -6, None) + tissue
            replaced = np.minimum(fluid, head.brain_hu)
            smooth = _blurred(replaced, 0.6, self.canvas.scan.spacing_mm)
            diluted_hu = head.csf_hu + self.blood.dilution * (blood_hu - head.csf_hu)
            target = np.maximum(diluted_hu, smooth)
            return np.asarray(tissue + share * (target - smooth), np.float32)
        replaced = np.minimum(tissue, head.brain_hu + 25)
        return np.asarray(tissue + share * (blood_hu + noise_hu - replaced), np.float32)

    def _blood_hu(self, swirl_hu: Field) -> Plane:
        head = self.canvas.head
        contrast = np.full(1, self.blood.contrast_hu, np.float32)
        if self.growth.density is not None:
            contrast = self._middle(self.growth.density) * contrast
        hu = head.brain_hu + contrast + self._middle(swirl_hu)
        return np.asarray(np.minimum(hu, head.brain_hu + max(_CEILING_HU, self.blood.contrast_hu)), np.float32)


def _clearly_dark(soft: Plane, head: Head, spacing_mm: tuple[float, float, float]) -> Plane:
    """0 where single dark pixels are noise: nothing dark is left of them on the scale of a sulcus."""
    wide = csf_share(_blurred(soft, 1.6, spacing_mm), head.brain_hu, head.csf_hu)
    return np.asarray(np.clip(8 * wide - 1, 0, 1), np.float32)


def _bone_share(plane: Plane, canvas: Canvas) -> Plane:
    """Share of each pixel that is bone, told from its HU."""
    low_hu = canvas.head.brain_hu + 40
    full_hu = min(900.0, canvas.ceiling_hu)
    return np.asarray(np.clip((plane - low_hu) / max(full_hu - low_hu, 10), 0, 1), np.float32)


def _blurred(plane: Plane, width_mm: float, spacing_mm: tuple[float, float, float]) -> Plane:
    return np.asarray(ndimage.gaussian_filter(plane, np.divide(width_mm, spacing_mm[:2])), np.float32)
