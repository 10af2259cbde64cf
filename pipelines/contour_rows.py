"""Slices with the true and the models' masks, read from folders, for panels of contours."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sliceweave.pipelines.contour_panels import PanelRow
from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.geometry import Geometry
from sliceweave.pipelines.grid_match import check_same_grid
from sliceweave.pipelines.label_maps import Labels, read_label_map
from sliceweave.pipelines.mask_sources import find_masks
from sliceweave.pipelines.reading import Scan, naming, read_scan
from sliceweave.pipelines.screen import Screen
from sliceweave.pipelines.studies import Study, file_stem, find_studies
from sliceweave.pipelines.study_kind import StudyKind
from sliceweave.pipelines.tiles import body_box, windowed

Box = tuple[slice, slice]


@dataclass(frozen=True)
class MaskFolders:
    """Mask files by the id their name gives: the true ones, and those of each model."""

    truth: Mapping[str, Path]
    models: Mapping[str, Mapping[str, Path]]


@dataclass(frozen=True)
class PanelOptions:
    """What of a study is shown.

    Attributes:
        slices: indices of slices; none takes the one of the largest true area.
        window: values shown as black and as white; None takes the kind's.
        margin_mm: how much to show around the contours; None shows the whole body part.
        kind: which way such studies are looked at; None stacks slices along the third array axis.
    """

    slices: Sequence[int] = ()
    window: tuple[float, float] | None = None
    margin_mm: float | None = None
    kind: StudyKind | None = None


def masks_in(folder: Path) -> dict[str, Path]:
    """The masks of a folder and those below by study id (see `find_masks`).

    Raises:
        InputError: no folder, no mask in it, or two of one study.
    """
    return {mask.study_id: mask.mask for mask in find_masks(folder)}


def mask_of(study_id: str, masks: Mapping[str, Path]) -> Path | None:
    """The mask of a study: of its id, or of the file name that an inference run makes of it."""
    return masks.get(study_id) or masks.get(file_stem(study_id))


def chosen_studies(images: Path, truth: Mapping[str, Path], study_ids: Sequence[str]) -> list[Study]:
    """The studies to draw, in the order asked for: those named, else all that have a true mask.

    Raises:
        InputError: a named study has no image or no true mask, or no study at all has both.
    """
    found = {study.study_id: study for study in find_studies(images)}
    if unknown := [study_id for study_id in study_ids if study_id not in found]:
        raise InputError(f"--studies: there is no image of {', '.join(unknown)} in {images}")
    if bare := [study_id for study_id in study_ids if mask_of(study_id, truth) is None]:
        raise InputError(f"--studies: there is no true mask of {', '.join(bare)}")
    studies = [found[study_id] for study_id in study_ids or found if mask_of(study_id, truth) is not None]
    if not studies:
        raise InputError(f"no image of {images} has a true mask; expected masks called <study>.nii.gz or <study>_mask")
    return studies


def panel_rows(study: Study, masks: MaskFolders, options: PanelOptions) -> Iterator[PanelRow]:
    """A row for each chosen slice of a study.

    Without chosen slices it is the one on which the true mask is largest; where that is empty, the one on which the
    models' masks are, together; where these are too, the middle one.

    Raises:
        InputError: the image or a mask cannot be read, a mask is not on the image's grid or no label map, or there is
            no such slice.
    """
    scan = read_scan(study.image, study.study_id)
    kind = options.kind or StudyKind.of_file(scan.geometry)
    axes = scan.geometry.axes_ending_in(kind.slice_axis)
    truth = _labels(masks.truth, study.study_id, scan.geometry)
    models = {name: _labels(folder, study.study_id, scan.geometry) for name, folder in masks.models.items()}
    layers = [None if mask is None else mask.transpose(axes) for mask in (truth, *models.values())]
    seen = Scan(kind.shown(scan).transpose(axes), scan.geometry.permuted(axes), scan.header)
    voxels = seen.voxels
    view = _View(kind.screen(seen), options, options.window or kind.shown_range(voxels))
    whole = view.box_of_all(voxels, layers) if options.margin_mm is None else None
    for index in _indices(layers, voxels.shape[2], options.slices):
        cut = [None if layer is None else layer[..., [index]] for layer in layers]
        yield view.row(study.study_id, index, voxels[..., [index]], cut, whole)


@dataclass(frozen=True, eq=False)
class _View:
    """How the slices of one study are shown."""

    screen: Screen
    options: PanelOptions
    window: tuple[float, float]

    def row(
        self, study_id: str, index: int, image: NDArray[Any], layers: Sequence[Labels | None], whole: Box | None
    ) -> PanelRow:
        """The row of one slice (I, J, 1), its true mask first among the layers.

        Args:
            whole: rows and columns that are shown; None for what the masks fill and the margin around it.
        """
        grey = self.screen.turn(windowed(image, self.window))[..., 0]
        turned = [None if layer is None else self.screen.turn(layer)[..., 0] for layer in layers]
        marked = np.any([layer > 0 for layer in turned if layer is not None] or [np.zeros(grey.shape, bool)], axis=0)
        box = whole or self.box(grey, marked)
        truth, *models = (None if layer is None else layer[box] for layer in turned)
        return PanelRow(
            study_id, self.screen.name(index), grey[box], self.screen.pixel_mm, truth, models, self.screen.side_letters
        )

    def box_of_all(self, voxels: NDArray[Any], layers: Sequence[Labels | None]) -> Box:
        """Rows and columns that the body fills in all slices (I, J, K) together, and the masks."""
        greys = np.moveaxis(self.screen.turn(windowed(voxels, self.window)), -1, 0)
        marked = [np.moveaxis(self.screen.turn(layer > 0), -1, 0) for layer in layers if layer is not None]
        return body_box(greys, np.any(marked or [np.zeros(greys.shape, bool)], axis=0))

    def box(self, grey: NDArray[np.uint8], marked: NDArray[np.bool_]) -> Box:
        """Rows and columns of what is marked, and the margin around it."""
        margin_mm = self.options.margin_mm
        if margin_mm is None or not marked.any():
            return body_box(grey[None], marked[None])
        width_mm, height_mm = self.screen.pixel_mm
        rows, columns = np.nonzero(marked)
        return _around(rows, margin_mm / height_mm), _around(columns, margin_mm / width_mm)


def _around(where: NDArray[np.intp], margin_px: float) -> slice:
    margin = round(margin_px)
    return slice(max(int(where.min()) - margin, 0), int(where.max()) + margin + 1)


def _labels(masks: Mapping[str, Path], study_id: str, geometry: Geometry) -> Labels | None:
    """The mask of a study, checked to lie on its grid; None where there is none."""
    path = mask_of(study_id, masks)
    if path is None:
        return None
    mask = read_label_map(path, study_id)
    with naming(path):
        check_same_grid(geometry, mask.geometry, "image", "mask")
    return mask.labels


def _indices(layers: Sequence[Labels | None], slices: int, asked: Sequence[int]) -> Sequence[int]:
    if beyond := [index for index in asked if not 0 <= index < slices]:
        raise InputError(f"--slices: there is no slice {beyond[0]}; the study has slices 0 to {slices - 1}")
    if asked:
        return asked
    truth, *models = ([] if layer is None else np.count_nonzero(layer, axis=(0, 1)) for layer in layers)
    of_models = np.sum([areas for areas in models if len(areas)] or [np.zeros(slices)], axis=0)
    for areas in (np.asarray(truth), of_models):
        if areas.any():
            return [int(areas.argmax())]
    return [slices // 2]
