import logging
import shutil

import numpy as np
import pytest
from miniature_pictures import (
    box,
    corners,
    labelme,
    labelme_ct,
    labelme_echo,
    random_grey,
    shape,
    write_json,
    write_picture,
)

from sliceweave.pipelines.cases import PrepareOptions, SourceFiles
from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.labelme_studies import find_labelme_ct, find_labelme_echo
from sliceweave.pipelines.slice_pictures import to_hu

SPACING = PrepareOptions(pixel_mm=0.5, thickness_mm=5)


def voxels(stack):
    return np.concatenate(list(stack.blocks()), axis=2)


def cases_of(finder, root, options=SPACING):
    return {case.study_id: case for case in finder(SourceFiles(root), options)}


def opened(case):
    """Everything of a case, so that whatever is wrong with it is raised."""
    return voxels(case.image()), voxels(case.label())


def one_series(folder, slices=2):
    """A patient whose slices each have a LabelMe file."""
    for k in range(1, slices + 1):
        write_picture(folder / f"{k}.png", random_grey(1, k)[..., 0])
        write_json(folder / f"{k}.json", labelme([shape(corners(2, 2, 6, 5))], f"{k}.png"))


def the_reason(case):
    with pytest.raises(InputError) as excinfo:
        opened(case)
    assert "\n" not in str(excinfo.value)
    return str(excinfo.value)


@pytest.mark.parametrize("patient", ["P01", "P02", "P03"])
def test_ct_comes_out_as_the_generator_drew_it(tmp_path, patient):
    known = labelme_ct(tmp_path)[patient]
    cases = cases_of(find_labelme_ct, tmp_path, PrepareOptions())
    assert list(cases) == ["P01", "P02", "P03"]
    case = cases[patient]
    image, label = opened(case)
    assert np.array_equal(image, to_hu(known.grey, (0, 100)))
    assert np.array_equal(label, known.label)
    assert label.any()
    expected = np.diag([-known.pixel_mm, -known.pixel_mm, known.thickness_mm, 1])
    assert np.array_equal(case.image().geometry.affine_ras, expected)
    assert case.image().flags == ("assumed_orientation",)
    assert (case.patient, case.split) == (patient, "")


def test_all_files_of_ct_are_claimed_and_others_are_not(tmp_path):
    labelme_ct(tmp_path)
    write_json(tmp_path / "dataset.json", {"name": "of something else"})
    write_picture(tmp_path / "preview.png", random_grey(1)[..., 0])
    files = SourceFiles(tmp_path)
    find_labelme_ct(files, PrepareOptions())
    assert [path.name for path in files] == ["dataset.json", "preview.png"]


def test_root_that_is_a_link_gives_the_same_cases(tmp_path):
    labelme_ct(tmp_path / "real")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    cases = cases_of(find_labelme_ct, tmp_path / "link", PrepareOptions())
    assert list(cases) == ["P01", "P02", "P03"]
    assert [opened(case)[0].shape[2] for case in cases.values()] == [4, 4, 3]


def test_window_of_the_user_gives_the_hu(tmp_path):
    known = labelme_ct(tmp_path)["P01"]
    cases = cases_of(find_labelme_ct, tmp_path, PrepareOptions(window_hu=(-30, 130)))
    assert np.array_equal(opened(cases["P01"])[0], to_hu(known.grey, (-30, 130)))


def test_patient_without_any_file_has_no_hematoma(tmp_path):
    one_series(tmp_path / "sick")
    for k in (1, 2):
        write_picture(tmp_path / "healthy" / f"{k}.png", random_grey(1, k)[..., 0])
    cases = cases_of(find_labelme_ct, tmp_path)
    assert not opened(cases["healthy"])[1].any()
    assert opened(cases["sick"])[1].any()


def test_slices_of_all_patients_in_one_folder_are_told_apart_by_name(tmp_path):
    for patient in ("p1", "p2"):
        for k in (9, 10):
            write_picture(tmp_path / "all" / f"{patient}_{k}.png", random_grey(1, k)[..., 0])
        write_json(tmp_path / "all" / f"{patient}_10.json", labelme([shape(corners(2, 2, 6, 5))], f"{patient}_10.png"))
    cases = cases_of(find_labelme_ct, tmp_path)
    assert list(cases) == ["p1", "p2"]
    assert np.array_equal(opened(cases["p2"])[1][..., 1], box(2, 2, 6, 5))
    assert not opened(cases["p2"])[1][..., 0].any()


def test_folder_of_one_name_is_the_patient(tmp_path):
    one_series(tmp_path / "patient 5" / "images")
    shutil.move(tmp_path / "patient 5" / "images" / "1.png", tmp_path / "patient 5" / "images" / "scan_1.png")
    assert list(cases_of(find_labelme_ct, tmp_path)) == ["patient 5"]


def test_visits_below_a_folder_and_series_within_are_one_patients(tmp_path):
    for visit in ("v1", "v2"):
        one_series(tmp_path / "p1" / visit)
    cases = cases_of(find_labelme_ct, tmp_path)
    assert {name: case.patient for name, case in cases.items()} == {"p1_v1": "p1", "p1_v2": "p1"}


def test_pictures_without_labelme_files_are_not_this_format(tmp_path):
    write_picture(tmp_path / "a" / "1.png", random_grey(1)[..., 0])
    write_json(tmp_path / "a" / "about.json", {"shapeless": True})
    files = SourceFiles(tmp_path)
    assert find_labelme_ct(files, SPACING) == find_labelme_echo(files, SPACING) == []
    assert len(list(files)) == 2


def test_names_of_the_user_choose_the_structure(tmp_path):
    one_series(tmp_path / "P01", slices=1)
    drawn = [shape(corners(2, 2, 6, 5), label="ICH"), shape(corners(8, 8, 12, 10), label="Edema")]
    write_json(tmp_path / "P01" / "1.json", labelme(drawn, "1.png"))
    both = box(2, 2, 6, 5) | box(8, 8, 12, 10)
    for names, expected in ((("ich",), box(2, 2, 6, 5)), (("ICH", "edema"), both)):
        options = PrepareOptions(pixel_mm=0.5, thickness_mm=5, names=names)
        assert np.array_equal(opened(cases_of(find_labelme_ct, tmp_path, options)["P01"])[1][..., 0], expected)


def test_several_names_and_no_choice_break_each_annotated_study(tmp_path):
    one_series(tmp_path / "P01")
    one_series(tmp_path / "P02")
    write_json(tmp_path / "P01" / "1.json", labelme([shape(corners(8, 8, 12, 10), label="Edema")], "1.png"))
    write_picture(tmp_path / "P03" / "1.png", random_grey(1)[..., 0])
    cases = cases_of(find_labelme_ct, tmp_path)
    for patient in ("P01", "P02"):
        assert the_reason(cases[patient]) == (
            "expected shapes of one name, got edema (1), hematoma (3); pass --names a,b"
        )
    assert not opened(cases["P03"])[1].any()


def test_one_name_in_different_case_is_one_name(tmp_path):
    one_series(tmp_path / "P01")
    write_json(tmp_path / "P01" / "1.json", labelme([shape(corners(2, 2, 6, 5), label="HEMATOMA")], "1.png"))
    assert opened(cases_of(find_labelme_ct, tmp_path)["P01"])[1].sum() == 2 * 12


def test_name_that_nobody_drew_is_an_error_and_not_an_empty_data_set(tmp_path):
    one_series(tmp_path / "P01")
    with pytest.raises(InputError, match=r"expected shapes named hemorrhage, got hematoma \(2\); pass --names"):
        find_labelme_ct(SourceFiles(tmp_path), PrepareOptions(names=("hemorrhage",)))


def test_ct_without_spacing_costs_its_studies_only(tmp_path):
    labelme_ct(tmp_path)
    (tmp_path / "spacing.csv").write_text("patient,pixel_size_mm,slice_thickness_mm\nP01,0.45,5\n")
    cases = cases_of(find_labelme_ct, tmp_path, PrepareOptions())
    opened(cases["P01"])
    assert the_reason(cases["P02"]).startswith("no pixel size for patient P02: expected spacing.csv")


BAD = {
    "broken JSON": (lambda folder: (folder / "1.json").write_text("{"), "1.json: expected a LabelMe file, but it is"),
    "no shapes": (lambda folder: write_json(folder / "1.json", {"imagePath": "1.png"}), "1.json: expected a LabelMe"),
    "no picture": (lambda folder: (folder / "1.png").unlink(), "1.json: expected the picture '1.png', found none"),
    "no number": (lambda folder: write_picture(folder / "x.png", random_grey(1)[..., 0]), "'x' has no number"),
    "two of one number": (
        lambda folder: write_picture(folder / "01.png", random_grey(1)[..., 0]),
        "expected one picture of slice 1, got",
    ),
    "another size": (
        lambda folder: write_picture(folder / "1.png", random_grey(1)[:-1, :, 0]),
        "2.png: expected 23x18 pixels as 1.png, got 24x18",
    ),
    "damaged picture": (lambda folder: (folder / "1.png").write_bytes(b"no"), "1.png: expected a whole PNG or JPG"),
    "point outside": (
        lambda folder: write_json(folder / "1.json", labelme([shape(corners(1, 1, 30, 4))], "1.png")),
        "1.json: shape 1 ('hematoma', polygon) has the point (30, 1) outside the picture of 24x18",
    ),
    "size in the file": (
        lambda folder: write_json(folder / "1.json", labelme([], "1.png", imageWidth=512)),
        "1.json: expected the size of its picture, 24x18, got 512x18",
    ),
    "path outside": (
        lambda folder: write_json(folder / "1.json", labelme([], "../../../1.png")),
        "1.json: imagePath '../../../1.png' leaves the data set's folder",
    ),
    "one picture twice": (
        lambda folder: write_json(folder / "1.json", labelme([], "2.png")),
        "2.json: annotates ",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_patient_costs_one_line_and_no_other(tmp_path, case):
    spoil, message = BAD[case]
    one_series(tmp_path / "good")
    one_series(tmp_path / "bad")
    spoil(tmp_path / "bad")
    cases = cases_of(find_labelme_ct, tmp_path)
    assert list(cases) == ["bad", "good"]
    assert message in the_reason(cases["bad"])
    assert opened(cases["good"])[1].any()


def test_broken_file_without_a_picture_is_not_passed_over(tmp_path):
    one_series(tmp_path / "P01")
    (tmp_path / "P01" / "3.json").write_text("{")
    assert "3.json: expected a LabelMe file" in the_reason(cases_of(find_labelme_ct, tmp_path)["P01"])


@pytest.mark.parametrize("patient", ["echo_a", "echo_b"])
def test_echo_comes_out_as_the_generator_drew_it(tmp_path, patient):
    known = labelme_echo(tmp_path)[patient]
    cases = cases_of(find_labelme_echo, tmp_path, PrepareOptions())
    assert list(cases) == ["echo_a", "echo_b"]
    stack = cases[patient].image()
    image, label = opened(cases[patient])
    assert image.dtype == np.uint8
    assert np.array_equal(image, known.grey)
    assert np.array_equal(label, known.label)
    assert np.array_equal(stack.geometry.affine_ras, np.diag([-1, -1, 1, 1]))
    assert (stack.flags, stack.warnings) == (("unknown_pixel_size",), ())


def test_frames_without_a_file_are_left_out_and_said_to_be(tmp_path, caplog):
    labelme_echo(tmp_path)
    files = SourceFiles(tmp_path)
    with caplog.at_level(logging.INFO):
        find_labelme_echo(files, PrepareOptions())
    assert "left out 6 of 10 frames, which have no LabelMe file" in caplog.text
    assert list(files) == []


def test_echo_with_a_pixel_size_has_areas(tmp_path):
    labelme_echo(tmp_path)
    (tmp_path / "spacing.csv").write_text("patient,pixel_size_mm\necho_b,0.3\n")
    cases = cases_of(find_labelme_echo, tmp_path, PrepareOptions(pixel_mm=0.25))
    assert cases["echo_a"].image().geometry.pixel_area_mm2 == pytest.approx(0.25**2)
    assert cases["echo_b"].image().geometry.pixel_area_mm2 == pytest.approx(0.3**2)
    assert cases["echo_a"].image().flags == ()
