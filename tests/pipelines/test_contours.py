import re
from pathlib import Path

import numpy as np
import pytest
from drawn import Drawn
from miniature_volumes import AFFINE, SHAPE, save
from numpy.typing import NDArray

from sliceweave.pipelines.contour_rows import MaskFolders, PanelOptions, chosen_studies, mask_of, masks_in, panel_rows
from sliceweave.pipelines.contours import contours_of
from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.studies import Study
from sliceweave.pipelines.study_kind import StudyKind

WHOLE = PanelOptions(window=(0, 100))


def mask(slices: slice, value: int = 1) -> NDArray[np.uint8]:
    """A block 6 columns by 4 rows in some slices."""
    voxels = np.zeros(SHAPE, np.uint8)
    voxels[3:9, 2:6, slices] = value
    return voxels


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Studies a and b, of which the model lacks b."""
    for name in "ab":
        save(tmp_path / "images" / f"{name}.nii.gz", np.full(SHAPE, 50, np.int16))
    truth = mask(slice(1, 4))
    truth[9, 2:6, 2] = 1
    save(tmp_path / "labels" / "a.nii.gz", truth)
    save(tmp_path / "labels" / "b.nii.gz", mask(slice(0, 0)))
    save(tmp_path / "unet" / "a_mask.nii.gz", mask(slice(4, 5)))
    return tmp_path


def folders(data: Path) -> MaskFolders:
    return MaskFolders(masks_in(data / "labels"), {"U-Net": masks_in(data / "unet")})


def study(data: Path, name: str = "a") -> Study:
    return Study(name, data / "images" / f"{name}.nii.gz")


def test_the_slice_of_the_largest_true_area_is_shown(data: Path) -> None:
    rows = list(panel_rows(study(data), folders(data), WHOLE))
    assert [row.slice_name for row in rows] == ["slice 2"]
    assert rows[0].truth is not None
    assert np.count_nonzero(rows[0].truth) == 28
    assert rows[0].pixel_mm == pytest.approx((0.7, 0.8))
    assert rows[0].sides == ("R", "L")
    assert (rows[0].grey == 128).all()


def test_a_study_without_structure_shows_what_models_found_else_its_middle(data: Path) -> None:
    masks = folders(data)
    assert [row.slice_name for row in panel_rows(study(data, "b"), masks, WHOLE)] == ["slice 3"]
    save(data / "unet" / "b_mask.nii.gz", mask(slice(5, 6)))
    rows = list(panel_rows(study(data, "b"), folders(data), WHOLE))
    assert [row.slice_name for row in rows] == ["slice 5"]


def test_named_slices_are_shown_in_their_order(data: Path) -> None:
    rows = list(panel_rows(study(data), folders(data), PanelOptions((4, 1), (0, 100))))
    assert [row.slice_name for row in rows] == ["slice 4", "slice 1"]
    assert [np.count_nonzero(row.truth) for row in rows if row.truth is not None] == [0, 24]
    assert [np.count_nonzero(row.models[0]) for row in rows if row.models[0] is not None] == [24, 0]


def test_a_slice_is_turned_as_a_radiologist_views_it(data: Path) -> None:
    """The file's first axis runs to the patient's left, its second to the back: right and down on the screen."""
    row = next(panel_rows(study(data), folders(data), PanelOptions((1,), (0, 100))))
    assert row.truth is not None
    assert row.truth.shape == (SHAPE[1], SHAPE[0])
    rows, columns = np.nonzero(row.truth)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (2, 5, 3, 8)


def test_a_margin_shows_only_what_is_around_the_contours(data: Path) -> None:
    row = next(panel_rows(study(data), folders(data), PanelOptions((1,), (0, 100), margin_mm=0.8)))
    assert row.grey.shape == (4 + 2, 6 + 2)


def test_slices_of_a_study_are_cut_alike_to_what_the_body_fills_in_any(data: Path) -> None:
    body = np.zeros(SHAPE, np.int16)
    body[5:8, 4:6] = 50
    body[2:12, 1:10, 3] = 50
    save(data / "images" / "a.nii.gz", body)
    narrow, wide = panel_rows(study(data), folders(data), PanelOptions((0, 3), (0, 100)))
    assert narrow.grey.shape == wide.grey.shape
    assert min(wide.grey.shape) >= 9


def test_a_task_decides_plane_and_window(data: Path) -> None:
    rows = list(panel_rows(study(data), folders(data), PanelOptions(kind=StudyKind("SPR", window=(0, 200)))))
    assert rows[0].sides == ("A", "P")
    assert rows[0].grey.shape == (SHAPE[2], SHAPE[1])
    assert rows[0].pixel_mm == pytest.approx((0.8, 2.5))
    assert (rows[0].grey == 64).all()


@pytest.mark.parametrize(
    ("voxels", "affine", "options", "words"),
    [
        (mask(slice(1, 2))[:-1], AFFINE, WHOLE, "a_mask.nii.gz: expected a mask of the image's 14 x 11 x 6 voxels"),
        (
            mask(slice(1, 2)),
            AFFINE + np.eye(4)[3] * [[1], [0], [0], [0]],
            WHOLE,
            "expected a mask on the image's grid, got one whose voxels lie up to 1 mm elsewhere",
        ),
        (mask(slice(1, 2)) * np.float32(0.4), AFFINE, WHOLE, "a_mask.nii.gz: expected whole numbers, got fractions"),
        (mask(slice(1, 2)), AFFINE, PanelOptions((6,)), "there is no slice 6; the study has slices 0 to 5"),
    ],
)
def test_what_cannot_be_drawn_is_a_clear_error(
    data: Path, voxels: NDArray[np.uint8], affine: NDArray[np.float64], options: PanelOptions, words: str
) -> None:
    save(data / "unet" / "a_mask.nii.gz", voxels, affine)
    with pytest.raises(InputError, match=re.escape(words)):
        list(panel_rows(study(data), folders(data), options))


def test_a_study_that_cannot_be_drawn_is_left_out_and_the_others_go_on(data: Path) -> None:
    (data / "labels" / "a.nii.gz").write_bytes(b"broken")
    done = contours_of([study(data, name) for name in "ab"], folders(data), data / "out", WHOLE)
    assert [path.name for path in done.paths] == ["contours_1.svg", "contours_1.png"]
    assert list(done.failed) == ["a"]
    texts = Drawn(done.paths[0]).texts
    assert "b · slice 3" in texts
    assert "no mask" in texts


def test_a_page_holds_so_many_rows_and_the_next_goes_on(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sliceweave.pipelines.contours.rows_on_a_page", lambda _models: 2)
    done = contours_of([study(data)], folders(data), data / "out", PanelOptions((0, 1, 2)))
    pages = [Drawn(path) for path in done.paths if path.suffix == ".svg"]
    assert [path.name for path in done.paths][::2] == ["contours_1.svg", "contours_2.svg"]
    assert [page.images for page in pages] == [6, 3]


def test_masks_are_found_under_the_names_programs_give_them(data: Path) -> None:
    for name in ("b_mask", "c_seg", "d%2Fe_mask"):
        save(data / "unet" / f"{name}.nii.gz", mask(slice(1, 2)))
    masks = masks_in(data / "unet")
    found = [mask_of(name, masks) for name in ("a", "b", "c", "d/e", "f")]
    assert [path and path.name for path in found] == [
        "a_mask.nii.gz", "b_mask.nii.gz", "c_seg.nii.gz", "d%2Fe_mask.nii.gz", None
    ]  # fmt: skip


def test_studies_are_those_asked_for_or_all_with_a_true_mask(data: Path) -> None:
    save(data / "images" / "c.nii.gz", np.full(SHAPE, 50, np.int16))
    truth = masks_in(data / "labels")
    assert [found.study_id for found in chosen_studies(data / "images", truth, ())] == ["a", "b"]
    assert [found.study_id for found in chosen_studies(data / "images", truth, ("b", "a"))] == ["b", "a"]
    with pytest.raises(InputError, match="there is no image of x, y"):
        chosen_studies(data / "images", truth, ("x", "a", "y"))
    with pytest.raises(InputError, match="there is no true mask of c"):
        chosen_studies(data / "images", truth, ("c",))
    with pytest.raises(InputError, match="has a true mask"):
        chosen_studies(data / "images", {"other": Path()}, ())


def test_a_folder_without_masks_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no mask"):
        masks_in(tmp_path)
    with pytest.raises(InputError, match="nowhere' does not exist; expected masks"):
        masks_in(tmp_path / "nowhere")
    for folder in ("1", "2"):
        save(tmp_path / folder / "a.nii.gz", mask(slice(1, 2)))
    with pytest.raises(InputError, match="two masks are of the study 'a'"):
        masks_in(tmp_path)
