"""What reports know of a task's studies."""

import nibabel as nib
import numpy as np
import pytest

from sliceweave.pipelines import intracranial
from sliceweave.pipelines.cases import UNKNOWN_PIXEL_SIZE
from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.geometry import Geometry
from sliceweave.pipelines.reading import Scan
from sliceweave.pipelines.rows import StudyRows
from sliceweave.pipelines.study_kind import StudyKind, study_kind

SHAPE = (9, 8, 5)
AFFINE = np.diag([0.5, 0.6, 4.0, 1.0])


def scan_of(voxels: np.ndarray, unit: str = "mm") -> Scan:
    header = nib.Nifti1Header()
    header.set_data_shape(voxels.shape)
    header.set_xyzt_units(unit)
    return Scan(voxels.astype(np.float32), Geometry(AFFINE, SHAPE), header)


@pytest.mark.parametrize(("axcodes", "axis"), [("RAS", 2), ("LPI", 2), ("ASR", 0), ("PIL", 0), ("RSA", 1), ("LIP", 1)])
def test_slices_are_counted_along_the_last_axis_of_the_networks_volume(axcodes: str, axis: int) -> None:
    assert StudyKind(axcodes).slice_axis == axis


def test_unknown_checks_are_one_clear_line() -> None:
    with pytest.raises(InputError, match="study_kind: checks are head_ct, ct, none, got 'mr'"):
        StudyKind("RAS", checks="mr")


def test_a_stated_window_is_shown_as_it_is() -> None:
    assert StudyKind("RAS", window=[-20, 140]).shown_range(np.zeros(SHAPE, np.float32)) == (-20.0, 140.0)


def test_without_a_window_outliers_do_not_darken_a_picture() -> None:
    voxels = np.linspace(100, 200, np.prod(SHAPE)).reshape(SHAPE).astype(np.float32)
    voxels[0, 0, 0], voxels[-1, -1, -1] = -9000, 9000
    lowest, highest = StudyKind("RAS").shown_range(voxels)
    assert lowest == pytest.approx(101, abs=0.5)
    assert highest == pytest.approx(199, abs=0.5)


def test_a_constant_study_has_a_range_that_can_be_shown() -> None:
    assert StudyKind("RAS").shown_range(np.full(SHAPE, 7, np.float32)) == (7.0, 8.0)


def test_ct_without_hounsfield_units_is_flagged_and_mr_is_not() -> None:
    grey = scan_of(np.random.default_rng(0).uniform(0, 255, SHAPE))
    assert StudyKind("RAS", checks="ct").flags(grey) != ()
    assert StudyKind("RAS", checks="none").flags(grey) == ()


def test_only_a_video_is_flagged_for_want_of_a_pixel_size() -> None:
    voxels = np.zeros(SHAPE)
    assert StudyKind("RAS", has_volume=False).flags(scan_of(voxels, "unknown")) == (UNKNOWN_PIXEL_SIZE,)
    assert StudyKind("RAS", has_volume=False).flags(scan_of(voxels, "mm")) == ()
    assert StudyKind("RAS").flags(scan_of(voxels, "unknown")) == ()


@pytest.mark.parametrize("unit", ["mm", "unknown"])
@pytest.mark.parametrize("has_volume", [True, False])
def test_a_screen_knows_whether_it_shows_a_video_and_lengths(has_volume: bool, unit: str) -> None:
    screen = StudyKind("RAS", has_volume=has_volume).screen(scan_of(np.zeros(SHAPE), unit))
    assert screen.is_video is not has_volume
    assert screen.has_lengths is (has_volume or unit == "mm")


def test_only_heads_have_a_middle() -> None:
    scan = scan_of(np.zeros(SHAPE))
    assert StudyKind("RAS", checks="head_ct").middle_r_mm(scan) == 0.5 * (SHAPE[0] - 1) / 2
    assert StudyKind("RAS", checks="ct").middle_r_mm(scan) is None


def test_the_inside_of_the_skull_is_looked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    scan, kind, found = scan_of(np.zeros(SHAPE)), StudyKind("RAS", checks="head_ct"), []
    monkeypatch.setattr(intracranial, "inside_skull", lambda *_: found.append(1) or np.zeros((0, 3)))
    assert "not_brain" in kind.flags(scan)
    kind.middle_r_mm(scan)
    assert found == [1]


@pytest.mark.parametrize(
    ("has_volume", "unit", "area", "volume"),
    [(True, "mm", 3.0, 4.0), (True, "unknown", 3.0, 4.0), (False, "mm", 3.0, None), (False, "unknown", None, None)],
)
def test_a_video_keeps_its_areas_where_the_pixel_size_is_known_and_no_volumes(
    has_volume: bool, unit: str, area: float | None, volume: float | None
) -> None:
    rows = StudyRows("s", [{"volume_ml": 4.0, "voxels": 7, "flags": ""}], slices=[{"area_mm2": 3.0, "slice": 1}])
    kept = StudyKind("RAS", has_volume=has_volume).measurable(rows, scan_of(np.zeros(SHAPE), unit))
    assert (kept.volumes[0]["volume_ml"], kept.volumes[0]["voxels"]) == (volume, 7)
    assert (kept.slices[0]["area_mm2"], kept.slices[0]["slice"]) == (area, 1)


def test_each_task_is_described_by_its_bundle() -> None:
    assert study_kind("hematoma") == StudyKind("RAS", [0, 100], "head_ct")
    assert study_kind("liver_tumor") == StudyKind("RAS", [-20, 140], "ct")
    assert study_kind("lung_infection") == StudyKind("RAS", [-1250, 250], "ct")
    assert study_kind("knee_cartilage") == StudyKind("ASR", None, "none")
    assert study_kind("echo_left_ventricle") == StudyKind("RAS", [0, 255], "none", has_volume=False)


def test_there_is_no_kind_of_an_unknown_task() -> None:
    with pytest.raises(InputError, match="no bundle is called 'spleen'"):
        study_kind("spleen")


def grey_head() -> np.ndarray:
    """A skull with brain, as 8-bit grey of the brain window."""
    rows, columns = np.mgrid[-60:60, -60:60]
    radius = np.hypot(rows, columns)
    return np.where(radius < 48, 117, np.where(radius < 58, 255, 0))[..., None]


def scan_of_grey_head() -> Scan:
    header = nib.Nifti1Header()
    header.set_data_shape((120, 120, 1))
    geometry = Geometry(np.diag([1.8, 1.8, 5.0, 1.0]), (120, 120, 1))
    return Scan(grey_head().astype(np.float32), geometry, header)


def test_pictures_of_an_8_bit_head_show_hu_while_its_flags_are_those_of_the_file() -> None:
    scan, kind = scan_of_grey_head(), StudyKind("RAS", [0, 100], "head_ct")
    assert kind.flags(scan) == ("windowed_input",)
    assert kind.window_of_greys(scan) == (-20.0, 100.0)
    np.testing.assert_allclose(kind.shown(scan), grey_head() * (120 / 255) - 20, rtol=0, atol=1e-4)


def test_an_override_goes_before_what_the_voxels_say() -> None:
    kind = StudyKind("RAS", [0, 100], "head_ct", grey_window=(0.0, 80.0))
    np.testing.assert_allclose(kind.shown(scan_of_grey_head()), grey_head() * (80 / 255), rtol=0, atol=1e-4)


def test_only_heads_are_brought_to_hu() -> None:
    scan = scan_of_grey_head()
    assert StudyKind("RAS", checks="ct").shown(scan) is scan.voxels
    assert StudyKind("RAS", checks="none").window_of_greys(scan) is None
