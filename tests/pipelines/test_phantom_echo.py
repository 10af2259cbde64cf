"""Generated echocardiography: repeatable, labelled where the cavity is, beating as much as it says, and hard enough."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage
from skimage.measure import regionprops

from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.geometry import Geometry
from sliceweave.pipelines.phantom_case import PhantomCase
from sliceweave.pipelines.phantom_echo import draw_exam, echo_grid, make_echo
from sliceweave.pipelines.phantom_grid import PhantomOptions
from sliceweave.pipelines.phantom_heart import (
    draw_heart,
    leaflets_mm,
    length_share,
    moment_at,
    outline_mm,
    resting_mm,
    width_share,
)

CINE = PhantomOptions(size=256, slices=24, spacing_mm=(1.0, 1.0, 1.0))
SMALL = PhantomOptions(size=(120, 96), slices=7, spacing_mm=(1.0, 1.0, 1.0))
PATIENTS = range(8)


@cache
def echo(index: int, options: PhantomOptions = CINE) -> PhantomCase:
    return make_echo(4, index, options)


def in_sector(index: int) -> NDArray[np.bool_]:
    exam = draw_exam(4, index, CINE)
    mask: NDArray[np.bool_] = exam.sector.mask.T
    return mask


def largest_and_smallest(label: NDArray[np.uint8]) -> tuple[int, int]:
    areas = label.sum(axis=(0, 1))
    return int(areas.argmax()), int(areas.argmin())


def area_length_volume(outline: NDArray[np.float64]) -> float:
    """Volume but for a factor: squared area of a polygon over its apex's distance from the middle of its base."""
    x, z = outline.T
    area = abs(np.dot(x, np.roll(z, 1)) - np.dot(z, np.roll(x, 1))) / 2
    apex = len(outline) // 2
    return float(area**2 / np.hypot(*(outline[apex] - (outline[0] + outline[-1]) / 2)))


def test_a_study_is_the_same_every_time() -> None:
    first, second = make_echo(5, 1, SMALL), make_echo(5, 1, SMALL)
    assert np.array_equal(first.image, second.image)
    assert np.array_equal(first.label, second.label)
    assert np.array_equal(first.grid.affine_ras, second.grid.affine_ras)
    assert first.truth == second.truth


@pytest.mark.parametrize("other", [(3, 1), (4, 0)])
def test_another_index_or_seed_is_another_patient(other: tuple[int, int]) -> None:
    first, second = (make_echo(*key, SMALL) for key in ((3, 0), other))
    assert first.truth["ejection_fraction"] != second.truth["ejection_fraction"]
    assert first.grid.affine_ras[0, 0] != second.grid.affine_ras[0, 0]
    assert np.logical_xor(first.label, second.label).sum() > 0.1 * np.logical_or(first.label, second.label).sum()


@pytest.mark.parametrize(("size", "frames"), [((120, 96), 7), ((75, 130), 3), (64, 1)])
def test_the_picture_has_the_asked_columns_rows_and_frames(size: int | tuple[int, int], frames: int) -> None:
    options = replace(CINE, size=size, slices=frames)
    case = make_echo(2, 0, options)
    assert case.image.shape == case.label.shape == case.grid.shape == options.shape
    assert (case.image.dtype, case.label.dtype) == (np.int16, np.uint8)
    assert np.all(case.label.any(axis=(0, 1)))


def test_the_affine_is_that_of_a_cine_with_the_pixel_size_of_the_scanned_depth() -> None:
    for index in PATIENTS:
        exam, grid = draw_exam(4, index, CINE), echo_grid(4, index, CINE)
        pixel_mm = grid.pixel_mm[0]
        assert np.array_equal(grid.affine_ras, np.diag([-pixel_mm, -pixel_mm, 1, 1]))
        Geometry(grid.affine_ras, grid.shape, grid.slice_origins_ras_mm, grid.slice_thickness_mm)
        assert 120 <= exam.sector.depth_mm <= 180
        reach_px = np.ptp(np.nonzero(in_sector(index))[1])
        height_mm = exam.sector.depth_mm - exam.sector.cap_mm * np.cos(exam.sector.half_angle)
        assert reach_px * pixel_mm == pytest.approx(height_mm, abs=2 * pixel_mm)


def test_the_grid_is_known_without_making_the_study() -> None:
    for index in PATIENTS:
        foretold, made = echo_grid(4, index, CINE), echo(index).grid
        assert foretold.shape == made.shape
        assert np.array_equal(foretold.affine_ras, made.affine_ras)


def test_more_pixels_show_the_same_heart_finer() -> None:
    coarse, fine = echo(1, replace(CINE, size=100)), echo(1, replace(CINE, size=199))
    areas_mm2 = [case.label.sum(axis=(0, 1)) * np.prod(case.grid.pixel_mm) for case in (coarse, fine)]
    assert fine.grid.pixel_mm[0] == pytest.approx(coarse.grid.pixel_mm[0] / 2)
    assert areas_mm2[0] == pytest.approx(areas_mm2[1], rel=0.03)


@pytest.mark.parametrize("index", PATIENTS)
def test_the_cavity_is_one_piece_within_the_sector_in_every_frame(index: int) -> None:
    case = echo(index)
    eight = np.ones((3, 3))
    for frame in range(CINE.slices):
        pieces, count = ndimage.label(case.label[..., frame], eight)
        assert count == 1, (frame, np.bincount(pieces.ravel()))
    assert set(np.unique(case.label)) == {0, 1}
    assert not case.label.any(axis=2)[~in_sector(index)].any()


@pytest.mark.parametrize("index", PATIENTS)
def test_area_length_volume_of_the_label_falls_by_the_ejection_fraction(index: int) -> None:
    label = echo(index).label
    volumes = []
    for frame in largest_and_smallest(label):
        (cavity,) = regionprops(label[..., frame])
        volumes.append(cavity.area**2 / cavity.feret_diameter_max)
    # Two dozen frames come near both ends of ejection, and the widest diameter is not quite the long axis.
    assert 1 - volumes[1] / volumes[0] == pytest.approx(echo(index).truth["ejection_fraction"], abs=0.04)


@pytest.mark.parametrize("seed", range(12))
def test_outlines_shrink_by_exactly_the_ejection_fraction(seed: int) -> None:
    straight = replace(draw_heart(np.random.default_rng(seed)), bow_mm=0.0, slant=0.0)
    full, empty = (area_length_volume(outline_mm(straight, ejected)) for ejected in (0.0, 1.0))
    assert 0.25 <= straight.ejection_fraction <= 0.7
    assert 1 - empty / full == pytest.approx(straight.ejection_fraction, abs=0.012)


def test_a_beat_empties_once_and_fills_with_open_valves() -> None:
    for seed in range(10):
        heart = draw_heart(np.random.default_rng(seed))
        phases = np.linspace(0, 1, 101)
        moments = [moment_at(heart, phase) for phase in phases]
        ejected, opening = np.array(moments).T
        systole, filled, _ = heart.moments
        assert (ejected[0], ejected[-1]) == (0, 0)
        assert phases[ejected.argmax()] == pytest.approx(systole, abs=0.021)
        assert np.all(opening[phases < 0.8 * systole] < 0.1)
        assert opening[(phases > systole) & (phases < filled)].max() > 0.95
        assert np.all(np.diff(ejected[phases < systole]) >= 0)


def test_tissue_comes_from_where_the_outline_was_at_rest() -> None:
    for seed in range(10):
        heart = draw_heart(np.random.default_rng(seed))
        rest = np.stack(resting_mm(heart, 0.0, *outline_mm(heart, 0.0).T), axis=-1)
        for ejected in (0.3, 1.0):
            came_from = np.stack(resting_mm(heart, ejected, *outline_mm(heart, ejected).T), axis=-1)
            assert came_from == pytest.approx(rest, abs=0.05)


def test_walls_thicken_and_never_fold_as_the_heart_contracts() -> None:
    for seed in range(20):
        heart = draw_heart(np.random.default_rng(seed))
        heart = replace(heart, bow_mm=0.0, slant=0.0)
        # Across the lateral wall at the widest place, outwards.
        share = heart.widest
        wall = heart.half_width(share) * width_share(heart, 1.0, share, 1.0)
        across = wall + np.linspace(0, 20, 201)
        rest, _ = resting_mm(
            heart, 1.0, across, np.full_like(across, share * heart.length_mm * length_share(heart, 1.0))
        )
        assert np.all(np.diff(rest) > 0)
        thickness = np.interp(rest[0] + heart.lateral_mm, rest, across - wall)
        assert thickness > 1.05 * heart.lateral_mm


def test_mitral_leaflets_meet_when_closed_and_part_when_open() -> None:
    heart = draw_heart(np.random.default_rng(0))
    gaps = []
    for phase in (0.5 * heart.moments[0], heart.moments[0] + 0.12):
        septal, lateral = leaflets_mm(heart, moment_at(heart, phase))[:2]
        gaps.append(np.hypot(*(septal[-1] - lateral[-1])))
    assert gaps[0] < 1
    assert gaps[1] > 10


@pytest.mark.parametrize("index", PATIENTS)
def test_the_cavity_is_darker_than_its_wall_but_not_the_only_dark_place(index: int) -> None:
    case = echo(index)
    frame, _ = largest_and_smallest(case.label)
    picture, cavity = case.image[..., frame].astype(float), case.label[..., frame] > 0
    reach = round(7 / case.grid.pixel_mm[0])
    wall = ndimage.binary_dilation(cavity, iterations=reach) & ~ndimage.binary_dilation(cavity)
    assert picture[cavity].mean() < picture[wall].mean() - 8
    smooth = ndimage.uniform_filter(picture, 9)
    elsewhere = smooth[in_sector(index) & ~cavity]
    assert np.mean(elsewhere <= np.median(smooth[cavity])) > 0.1


def test_greys_are_those_of_eight_bits_on_a_black_screen() -> None:
    brightest = [echo(index).image.max() for index in PATIENTS]
    assert all(echo(index).image.min() == 0 for index in PATIENTS)
    assert max(brightest) <= 255
    assert min(brightest) > 100
    assert all(np.mean(echo(index).image == 0) > 0.2 for index in PATIENTS)


def test_speckle_follows_from_frame_to_frame_more_than_across_the_beat() -> None:
    options = replace(CINE, size=(150, 140), slices=50)
    for index in (0, 1, 2):
        case = make_echo(4, index, options)
        tissue = ndimage.binary_dilation(case.label.any(axis=2), iterations=14) & ~case.label.any(axis=2)
        texture = case.image - ndimage.gaussian_filter(case.image.astype(float), (3, 3, 0))
        courses = texture[tissue].T
        alike = np.corrcoef(courses)
        assert np.mean(np.diagonal(alike, 1)) > 0.25
        assert np.mean(np.diagonal(alike, 1)) > np.mean(np.diagonal(alike, 8)) + 0.1


def test_some_studies_are_flipped_and_the_left_heart_lies_on_the_other_side_in_them() -> None:
    sides: dict[bool, list[float]] = {False: [], True: []}
    for index in range(24):
        case = make_echo(6, index, replace(SMALL, slices=2))
        columns = np.nonzero(case.image[..., 0].max(axis=1) > 15)[0]
        sides["flipped" in case.kinds].append(
            float(np.nonzero(case.label[..., 0])[0].mean() - (columns.min() + columns.max()) / 2)
        )
    assert min(len(found) for found in sides.values()) >= 3
    assert np.mean(sides[False]) > np.mean(sides[True])


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"tilt_deg": 10.0}, "leave them out"),
        ({"oblique": True}, "leave them out"),
        ({"uneven": True}, "leave them out"),
        ({"size": (256, 8)}, "got 256x8 and 7"),
        ({"slices": 0}, "a frame or more, got 120x96 and 0"),
    ],
)
def test_options_that_a_cine_does_not_have_are_refused(wrong: dict[str, object], reason: str) -> None:
    options = PhantomOptions(**{"size": (120, 96), "slices": 7, **wrong})  # type: ignore[arg-type]
    with pytest.raises(InputError, match=reason):
        make_echo(0, 0, options)
