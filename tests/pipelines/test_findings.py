from functools import lru_cache

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from scipy.spatial.transform import Rotation

from sliceweave.pipelines.findings import head_flags, midline_r_mm, trunk_flags
from sliceweave.pipelines.geometry import Geometry
from sliceweave.pipelines.intracranial import intracranial_space
from sliceweave.pipelines.phantom_grid import PhantomOptions
from sliceweave.pipelines.phantom_tasks import phantom_task
from sliceweave.pipelines.reading import read_scan

MIDDLE_RAS_MM = np.array([12.0, -5.0, 8.0])
SHAPE, STEPS_MM = (120, 114, 20), (2.0, 2.1, 7.5)
AIR_HU, SCALP_HU, BONE_HU, BRAIN_HU, VENTRICLE_HU, BLOOD_HU = -1000, -50, 900, 35, 8, 65
PADDINGS_HU = [-1024, -1500, -2000, -2048, -3024, -32768]


def flags_of(voxels_hu, geometry):
    return head_flags(voxels_hu, geometry, intracranial_space(voxels_hu, geometry))


def midline_of(voxels_hu, geometry):
    return midline_r_mm(geometry, intracranial_space(voxels_hu, geometry))


def geometry_of(columns, shape=SHAPE, **slices):
    """A grid whose middle lies at the origin."""
    affine = np.eye(4)
    affine[:3, :3] = columns
    affine[:3, 3] = -affine[:3, :3] @ (np.array(shape) - 1) / 2
    return Geometry(affine, shape, **slices)


def tilted():
    angle, columns = np.radians(18.5), np.diag(STEPS_MM)
    columns[1:, 1] = STEPS_MM[1] * np.array([np.cos(angle), np.sin(angle)])
    return geometry_of(columns)


def uneven():
    even = geometry_of(np.diag(STEPS_MM))
    heights_mm = np.cumsum([0] + [6.0] * 10 + [10.0] * 9)
    step, first = np.polyfit(np.arange(SHAPE[2]), heights_mm, 1)
    affine = even.affine_ras.copy()
    affine[2, 2:] = step, first - 75
    origins = np.repeat(affine[None, :3, 3], SHAPE[2], 0)
    origins[:, 2] = heights_mm - 75
    return Geometry(affine, SHAPE, origins)


GRIDS = {
    "straight": geometry_of(np.diag(STEPS_MM)),
    "flipped": geometry_of(np.diag([-2.0, -2.1, 7.5])),
    "downwards": geometry_of(np.diag([-2.0, 2.1, -7.5])),
    "fine": geometry_of(np.diag([0.6, 0.7, 30.0]), (400, 350, 5)),
    "sagittal": geometry_of(np.diag([4.0, 2.1, 3.0])[:, [1, 2, 0]], (114, 60, 60)),
    "oblique": geometry_of(Rotation.from_euler("xyz", [9, -7, 5], degrees=True).as_matrix() @ np.diag(STEPS_MM)),
    "tilted": tilted(),
    "uneven": uneven(),
    "one slice": geometry_of(np.diag([-0.6, -0.7, 5.0]), (400, 350, 1)),
}


def positions_ras_mm(geometry):
    return geometry.to_ras_mm(np.stack(np.meshgrid(*map(np.arange, geometry.shape), indexing="ij"), -1))


def inside_ellipsoid(positions, middle, radii_mm):
    return sum(((positions[..., axis] - middle[axis]) / radii_mm[axis]) ** 2 for axis in range(len(radii_mm))) < 1


@lru_cache(maxsize=4)
def head_hu(geometry, noise_hu=5.0):
    """Scalp, skull, brain with ventricles and a bleed around MIDDLE_RAS_MM, on a head rest that lies to the left."""
    positions = positions_ras_mm(geometry)
    voxels = np.full(geometry.shape, AIR_HU, np.float32)
    for radii_mm, hu in (((84, 104, 82), SCALP_HU), ((78, 98, 76), BONE_HU), ((71, 91, 69), BRAIN_HU)):
        voxels[inside_ellipsoid(positions, MIDDLE_RAS_MM, radii_mm)] = hu
    voxels[inside_ellipsoid(positions, MIDDLE_RAS_MM, (20, 30, 15))] = VENTRICLE_HU
    voxels[inside_ellipsoid(positions, MIDDLE_RAS_MM - (45, 0, 0), (20, 25, 15))] = BLOOD_HU
    rest = np.hypot(positions[..., 0] + 20, positions[..., 1] + 10)
    voxels[(np.abs(rest - 106) < 3) & (positions[..., 1] < -60) & (voxels == AIR_HU)] = 200
    voxels += np.random.default_rng(0).normal(0, noise_hu, geometry.shape).astype(np.float32)
    voxels.setflags(write=False)
    return voxels


def body_hu(geometry):
    """A trunk with fat, a hollow vertebra, and ribs, endless from head to foot."""
    positions = positions_ras_mm(geometry)[..., :2]
    voxels = np.full(geometry.shape, AIR_HU, np.float32)
    voxels[inside_ellipsoid(positions, (0, 0), (110, 90))] = -100
    voxels[inside_ellipsoid(positions, (0, 0), (100, 80))] = 50
    voxels[inside_ellipsoid(positions, (0, -50), (20, 20))] = 400
    voxels[inside_ellipsoid(positions, (0, -50), (9, 9))] = 30
    for degrees in range(0, 360, 30):
        rib = [90 * np.cos(np.radians(degrees)), 70 * np.sin(np.radians(degrees))]
        voxels[inside_ellipsoid(positions, rib, (8, 8))] = 500
    return voxels


def flags_as_trunk(voxels, geometry):
    return trunk_flags(voxels, geometry, intracranial_space(voxels, geometry))


def to_8_bit(voxels_hu):
    return np.round((np.clip(voxels_hu, -20, 100) + 20) / 120 * 255)


def with_compression_noise(voxels):
    return voxels + np.random.default_rng(1).normal(0, 2, voxels.shape)


WINDOWED = {
    "brain window": lambda hu: np.clip(hu, -20, 100),
    "brain window from 0": lambda hu: np.clip(hu, 0, 80),
    "subdural window": lambda hu: np.clip(hu, -100, 300),
    "soft-tissue window": lambda hu: np.clip(hu, -160, 240),
    "0 to 255 HU": lambda hu: np.clip(hu, 0, 255),
    "8 bits": to_8_bit,
    "8 bits through JPEG": lambda hu: np.clip(with_compression_noise(to_8_bit(hu)), 0, 255),
    "HU from 8 bits": lambda hu: to_8_bit(hu) / 255 * 120 - 20,
    "HU from JPEG": lambda hu: with_compression_noise(np.clip(hu, -20, 100)),
    "padded": lambda hu: np.where(hu < -900, -1024, np.clip(hu, -20, 100)),
    "without air": lambda hu: np.clip(hu, -100, None),
    "without bone": lambda hu: np.clip(hu, None, 100),
}
IMPLAUSIBLE = {
    "without rescale": lambda hu: np.clip(hu + 1024, 0, None),
    "fractions": lambda hu: (np.clip(hu, -20, 100) + 20) / 120,
    "standardised": lambda hu: (hu - hu.mean()) / hu.std(),
    "one value": lambda hu: np.zeros_like(hu),
    "padding alone": lambda hu: np.full_like(hu, -1024),
    "unsigned by mistake": lambda hu: np.where(hu < 0, hu + 65536, hu),
    "like MR": lambda hu: np.where(hu < -500, 20, 500 + np.abs(hu)),
}


@pytest.mark.parametrize("grid", GRIDS)
def test_a_head_in_hu_has_no_findings_on_any_grid(grid):
    geometry = GRIDS[grid]
    assert flags_of(head_hu(geometry), geometry) == ()


@pytest.mark.parametrize("grid", GRIDS)
def test_the_middle_of_the_head_is_found_on_any_grid_and_beside_a_head_rest(grid):
    geometry = GRIDS[grid]
    assert midline_of(head_hu(geometry), geometry) == pytest.approx(MIDDLE_RAS_MM[0], abs=1.0)


@pytest.mark.parametrize("how", WINDOWED)
@pytest.mark.parametrize("grid", ["straight", "tilted", "one slice"])
def test_a_windowed_head_is_recognised_and_still_a_head(grid, how):
    geometry = GRIDS[grid]
    voxels = WINDOWED[how](head_hu(geometry)).astype(np.float32)
    assert flags_of(voxels, geometry) == ("windowed_input",)
    assert midline_of(voxels, geometry) == pytest.approx(MIDDLE_RAS_MM[0], abs=1.0)


@pytest.mark.parametrize("how", IMPLAUSIBLE)
def test_values_that_are_no_hu_are_recognised(how):
    geometry = GRIDS["straight"]
    flags = flags_of(IMPLAUSIBLE[how](head_hu(geometry)).astype(np.float32), geometry)
    assert "implausible_hu" in flags
    assert "windowed_input" not in flags


@pytest.mark.parametrize("padding_hu", PADDINGS_HU)
def test_padding_changes_nothing(padding_hu):
    geometry = GRIDS["straight"]
    voxels = head_hu(geometry)
    padded = np.where(np.hypot(*positions_ras_mm(geometry)[..., :2].transpose(3, 0, 1, 2)) > 112, padding_hu, voxels)
    assert flags_of(padded.astype(np.float32), geometry) == ()
    windowed = np.where(padded == padding_hu, padding_hu, np.clip(padded, -20, 100)).astype(np.float32)
    assert flags_of(windowed, geometry) == ("windowed_input",)


@pytest.mark.parametrize("grid", ["straight", "sagittal", "tilted", "one slice"])
def test_a_trunk_is_not_a_brain(grid):
    geometry = GRIDS[grid]
    assert flags_of(body_hu(geometry), geometry) == ("not_brain",)
    assert flags_of(np.clip(body_hu(geometry), -20, 100), geometry) == ("windowed_input", "not_brain")


@pytest.mark.parametrize("grid", ["straight", "sagittal", "tilted", "one slice"])
def test_a_head_is_no_trunk(grid):
    geometry = GRIDS[grid]
    assert flags_as_trunk(head_hu(geometry), geometry) == ("head",)
    assert flags_as_trunk(np.clip(head_hu(geometry), -20, 100), geometry) == ("windowed_input", "head")
    assert flags_as_trunk(body_hu(geometry), geometry) == ()


def test_a_pelvis_is_no_head():
    geometry = geometry_of(np.diag([2.0, 2.1, 7.5]), (200, 150, 20))
    positions, pelvis = positions_ras_mm(geometry)[..., :2], np.full(geometry.shape, AIR_HU, np.float32)
    for radii_mm, hu in (((180, 130), -100), ((170, 120), 50), ((75, 62), 600), ((65, 52), 40)):
        pelvis[inside_ellipsoid(positions, (0, 0), radii_mm)] = hu
    assert len(intracranial_space(pelvis, geometry).slice_numbers) > 1000  # bone does enclose it
    assert flags_as_trunk(pelvis, geometry) == ()


def test_a_body_with_its_head_is_no_head():
    whole = geometry_of(np.diag(STEPS_MM), (*SHAPE[:2], 80))
    voxels = np.concatenate([body_hu(GRIDS["straight"])] * 3 + [head_hu(GRIDS["straight"])], axis=2)
    assert flags_as_trunk(voxels, whole) == ()


def test_without_a_brain_the_middle_is_that_of_the_grid():
    affine = np.diag([-2.0, -2.1, 7.5, 1.0])
    affine[0, 3] = 200
    geometry = Geometry(affine, SHAPE)
    assert midline_of(np.full(SHAPE, -1000, np.float32), geometry) == pytest.approx(200 - 2.0 * 119 / 2)


def test_holes_in_the_skull_do_not_hide_the_brain():
    geometry = GRIDS["straight"]
    voxels, positions = head_hu(geometry).copy(), positions_ras_mm(geometry)
    towards = positions - MIDDLE_RAS_MM
    voxels[(np.abs(towards[..., 0]) < 5) & (towards[..., 1] > 60)] = -900
    assert flags_of(voxels, geometry) == ()


def test_noise_of_thin_slices_does_not_hide_the_brain():
    geometry = geometry_of(np.diag([0.6, 0.7, 0.8]), (400, 350, 4))
    assert flags_of(head_hu(geometry, noise_hu=45), geometry) == ()


def test_the_intracranial_space_lies_inside_the_skull():
    geometry = GRIDS["tilted"]
    space = intracranial_space(head_hu(geometry), geometry)
    assert inside_ellipsoid(space.points_ras_mm, MIDDLE_RAS_MM, (73, 93, 71)).all()
    sections = {k: (space.slice_numbers == k).sum() for k in np.unique(space.slice_numbers)}
    assert max(sections.values()) * 4 == pytest.approx(np.pi * 71 * 91, rel=0.1)


@pytest.mark.parametrize("voxels", [np.zeros((4, 5, 3)), np.full((4, 5, 3), 40.0), np.zeros((1, 1, 1))])
def test_tiny_scans_get_flags_and_no_error(voxels):
    geometry = Geometry(np.diag([1.0, 2.0, 3.0, 1.0]), voxels.shape)
    assert flags_of(voxels.astype(np.float32), geometry) == ("implausible_hu", "not_brain")


@pytest.mark.parametrize("options", [{"tilt_deg": 18.5}, {"oblique": True, "slices": 1}, {"uneven": True}])
def test_a_healthy_phantom_has_no_findings(options):
    case = phantom_task("hematoma").make(
        5,
        3,
        PhantomOptions(**({"size": 128, "spacing_mm": (1.8, 1.8, 9.0), "slices": 16, "healthy_share": 1.0} | options)),
    )
    origins_ras_mm = case.grid.slice_origins_ras_mm if "uneven" in options else None
    geometry = Geometry(case.grid.affine_ras, case.image.shape, origins_ras_mm)
    assert flags_of(case.image.astype(np.float32), geometry) == ()


def test_real_windowed_heads_are_windowed_heads(real_data):
    for path in sorted(real_data.glob("head_ct/ct_ich/**/*_ct.nii.gz"))[::5]:
        scan = read_scan(path)
        assert flags_of(scan.voxels, scan.geometry) == ("windowed_input",)


@pytest.mark.slow
def test_all_real_windowed_heads_are_windowed_heads(real_data):
    paths = sorted(real_data.glob("head_ct/ct_ich/**/*_ct.nii.gz"))
    scans = (read_scan(path) for path in paths)
    assert [flags_of(scan.voxels, scan.geometry) for scan in scans] == [("windowed_input",)] * 21


@pytest.mark.parametrize(
    ("name", "flags"),
    [
        ("liver_ct/totalsegmentator/example_ct.nii.gz", ("not_brain",)),
        ("liver_ct/dcmqi_ct3slice/ct.nii.gz", ("not_brain",)),
        ("knee_mr/pymskt/mese_te6ms.nii.gz", ("implausible_hu", "not_brain")),
        ("knee_mr/pymskt/mese_te32ms.nii.gz", ("implausible_hu", "not_brain")),
    ],
)
def test_real_scans_of_other_organs_are_not_brains(real_data, name, flags):
    scan = read_scan(real_data / name)
    assert flags_of(scan.voxels, scan.geometry) == flags
    assert "head" not in flags_as_trunk(scan.voxels, scan.geometry)


def dicom_scan(paths, tmp_path):
    """The scan of DICOM slices on an even grid, good enough for findings."""
    slices = sorted((sitk.ReadImage(path) for path in paths), key=lambda image: image.GetOrigin()[2])
    origins = np.array([image.GetOrigin() for image in slices])
    columns = np.array(slices[0].GetDirection()).reshape(3, 3) @ np.diag(slices[0].GetSpacing())
    if len(slices) > 1:
        columns[:, 2] = (origins[-1] - origins[0]) / (len(slices) - 1)
    affine = np.eye(4)
    affine[:3] = np.diag([-1, -1, 1]) @ np.column_stack([columns, origins[0]])
    voxels = np.stack([sitk.GetArrayFromImage(image)[0].T for image in slices], -1)
    nib.Nifti1Image(voxels.astype(np.int16), affine).to_filename(tmp_path / "a.nii")
    return read_scan(tmp_path / "a.nii")


def test_a_real_tilted_head_in_hu_has_no_findings(real_data, tmp_path):
    scan = dicom_scan(real_data.glob("head_ct/ge_tilt_dicom/*.dcm"), tmp_path)
    assert flags_of(scan.voxels, scan.geometry) == ()
    assert flags_as_trunk(scan.voxels, scan.geometry) == ("head",)
    assert midline_of(scan.voxels, scan.geometry) == pytest.approx(2, abs=2)


def test_a_real_chest_slice_is_not_a_brain(real_data, tmp_path):
    scan = dicom_scan(real_data.glob("lung_ct/lungmask/*.dcm"), tmp_path)
    assert flags_of(scan.voxels, scan.geometry) == ("not_brain",)
    assert flags_as_trunk(scan.voxels, scan.geometry) == ()
