"""Scans of generated torsos without noise, for the tests of chest and abdomen."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from sliceweave.pipelines.geometry import Geometry
from sliceweave.pipelines.phantom_grid import PhantomOptions, scan_grid
from sliceweave.pipelines.phantom_scan import scan, true_volume_ml
from sliceweave.pipelines.phantom_subject import Subject
from sliceweave.pipelines.volumetry import volume_ml
from sliceweave.transforms.lattice import Field

SMALL = PhantomOptions(size=(104, 92), slices=56, spacing_mm=(3.4, 3.7, 5.0))
VARIANTS = {
    "plain": SMALL,
    "tilted": replace(SMALL, tilt_deg=14.0),
    "oblique": replace(SMALL, oblique=True),
    "uneven": replace(SMALL, uneven=True),
    "all": replace(SMALL, tilt_deg=-9.0, oblique=True, uneven=True),
}


def _unfinished(clean: Field, *_: object) -> Field:
    return clean


def scanned(subject: Subject, options: PhantomOptions) -> tuple[NDArray[np.int16], NDArray[np.uint8]]:
    """Noise-free image and label 1 of a subject."""
    image, shares = scan(subject, scan_grid(options), _unfinished, np.random.default_rng(0))
    return image, (shares[1] >= 0.5).astype(np.uint8)


def volumes_ml(subject: Subject, options: PhantomOptions, field: str) -> tuple[float, float]:
    """What the label of a scan holds, and what it should hold; `field` is the one that the label is made of."""
    grid = scan_grid(options)
    geometry = Geometry(grid.affine_ras, grid.shape, grid.slice_origins_ras_mm, grid.slice_thickness_mm)
    lesion = only(subject, field)
    return volume_ml(scanned(lesion, options)[1], geometry), true_volume_ml(lesion, grid, 1)


def only(subject: Subject, field: str) -> Subject:
    """The subject with nothing but its skin and one other field, which is quick to scan."""
    kept = {name: subject.fields[name] for name in ("skin", field)}
    return replace(subject, fields=kept, appearance=lambda samples: samples["skin"])


def looks(subject: Subject) -> Field:
    """CT numbers at the points of the subject's lattice."""
    return subject.appearance(subject.fields)


def litres(subject: Subject, name: str) -> float:
    """Volume of the structure with this signed distance."""
    return float((subject.fields[name] > 0).sum()) * subject.lattice.step_mm**3 / 1e6
