"""Pictures of labelled slices: the truth's contour in green, the bundle's in red."""

from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from real_heads import Head

from sliceweave.pipelines.geometry import Geometry
from sliceweave.pipelines.montage import write_png
from sliceweave.pipelines.screen import Screen

_WINDOW_HU = (0.0, 100.0)
_GREEN, _RED, _WHITE = (0, 200, 0), (255, 60, 60), (255, 255, 255)
_CONTOURED_PX = 650


def overlay(head: Head, mask: NDArray[np.bool_], k: int) -> NDArray[np.uint8]:
    """Slice k, (650, 650, 3), as a radiologist views it, with both contours."""
    turn = Screen(Geometry(head.affine_ras, head.hu.shape)).turn
    low_hu, high_hu = _WINDOW_HU
    grey = np.clip((turn(head.hu)[..., k] - low_hu) * (255 / (high_hu - low_hu)), 0, 255).astype(np.uint8)
    size = (_CONTOURED_PX, _CONTOURED_PX)
    picture = cv2.cvtColor(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), cv2.COLOR_GRAY2RGB)
    for region, colour in ((head.label, _GREEN), (mask, _RED)):
        plane = np.ascontiguousarray(turn(region)[..., k], np.uint8)
        enlarged = cv2.resize(plane, size, interpolation=cv2.INTER_NEAREST)
        contours, _ = cv2.findContours(enlarged, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(picture, contours, -1, colour, 1)
    cv2.putText(picture, f"{head.name}, slice {k}", (8, 20), cv2.FONT_HERSHEY_SIMPLEX, 0.5, _WHITE, 1, cv2.LINE_AA)
    return np.asarray(picture, np.uint8)


def write_overlays(cases: Iterable[tuple[Head, NDArray[np.bool_]]], folder: Path) -> None:
    """One picture for each slice in which something is labelled."""
    folder.mkdir(parents=True, exist_ok=True)
    for head, mask in cases:
        for k in np.flatnonzero(head.label.any((0, 1))) if head.label.any() else ():
            write_png(overlay(head, mask, int(k)), folder / f"{head.name.replace(' ', '_')}_{k}.png")
