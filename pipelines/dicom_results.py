"""DICOM SEG and SR of a run's studies, for the series that `sliceweave prepare` made them of."""

import importlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, final

import numpy as np
from numpy.typing import NDArray

from sliceweave.pipelines.cases import SourceFiles
from sliceweave.pipelines.dicom_series import folders_by_id, slices_of
from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.measuring import Mask
from sliceweave.pipelines.prepared_folder import PreparedList
from sliceweave.pipelines.reading import Scan
from sliceweave.pipelines.run_record import DescribedModel

if TYPE_CHECKING:  # highdicom is an extra
    from sliceweave.pipelines.dicom_out import Objects
    from sliceweave.pipelines.dicom_source import Series

NEEDS_HIGHDICOM = 'DICOM results need highdicom: pip install "sliceweave[dicom]"'


def dicom_results(source: str | None, dataset_dir: str | None) -> "DicomResults | None":
    """What makes a run's DICOM results; None where none are wanted. Arguments and errors as `DicomResults`."""
    return None if source is None else DicomResults(source, str(dataset_dir))


@final
class DicomResults:
    """Finds the series of each study again, by its id, and makes SEG and SR that refer to it.

    Args:
        source: the folder of series that `sliceweave prepare` was given.
        dataset_dir: what `prepare` made of it; its list says which series was taken where a folder holds several.

    Raises:
        InputError: there is no such folder, or highdicom is missing.
    """

    def __init__(self, source: str, dataset_dir: str) -> None:
        self._source = source
        root = Path(os.path.expanduser(source))
        if not root.is_dir():
            raise InputError(f"--dicom_out {source}: expected the folder of DICOM series that was prepared")
        check_highdicom()
        prepared = PreparedList.found_in(dataset_dir)
        self._choice = str(prepared.content["prepared"]["options"]["series"]) if prepared else ""
        self._files = SourceFiles(root)
        self._folders = folders_by_id(self._files)

    def check(self, study_ids: Iterable[str]) -> None:
        """Raises InputError where a study has no series."""
        missing = [study_id for study_id in study_ids if not self._paths(study_id)]
        if missing:
            raise InputError(
                f"--dicom_out {self._source}: expected a folder for each study, got none for '{missing[0]}'"
                f"{f' and {len(missing) - 1} others' if missing[1:] else ''}; give the folder that was prepared"
            )

    def still_names(self, study_id: str, seg: Path) -> bool:
        """Whether the SEG of an earlier run names the patient and the study that the series' files name now."""
        from sliceweave.pipelines.dicom_source import name_same_subject

        return name_same_subject(seg, self._paths(study_id))

    def made_of(self, study_id: str, mask: Mask, scan: Scan, model: DescribedModel) -> "Objects":
        """SEG and SR of a study's mask (I, J, K).

        Raises:
            InputError: the series cannot be read or found, or the study was not made of it.
        """
        from sliceweave.pipelines.dicom_objects import Drawn
        from sliceweave.pipelines.dicom_out import objects_of
        from sliceweave.pipelines.dicom_source import on_series, series_of

        series = series_of(slices_of(study_id, self._paths(study_id), self._files, self._choice))
        _check_same_pixels(on_series(scan.voxels, scan.geometry, series, study_id), series, study_id)
        labels = on_series(mask, scan.geometry, series, study_id)
        return objects_of(labels, series, Drawn(model.labels, (model.name, model.version)))

    def save(self, objects: "Objects", paths: tuple[Path, Path]) -> None:
        """Writes SEG and SR. Raises InputError where it cannot."""
        from sliceweave.pipelines.dicom_out import save

        save(objects, paths)

    def _paths(self, study_id: str) -> list[Path]:
        """Those of its folder: the id less the number of a series, or of one among folders of one id."""
        if found := self._folders.get(study_id) or self._folders.get(study_id.rpartition("_s")[0]):
            return found
        alike = self._folders.get(study_id.rpartition("_")[0], [])
        return alike if len({path.parent for path in alike}) > 1 else []


def check_highdicom() -> None:
    """Raises InputError where the extra is not installed."""
    try:
        importlib.import_module("highdicom")
    except ImportError as error:
        raise InputError(NEEDS_HIGHDICOM) from error


def _check_same_pixels(voxels: NDArray[np.float32], series: "Series", name: str) -> None:
    """Raises InputError where the middle slice is another than the study's: two patients can have one grid."""
    from sliceweave.pipelines.dicom_pixels import slice_values

    middle = len(series.headers) // 2
    if not np.allclose(slice_values(series.headers[middle]), voxels[..., middle], rtol=0, atol=0.5):
        raise InputError(f"{name}: expected the series that the study was made of, got other pixels; check --dicom_out")
