import numpy as np
import pytest
from miniature_pictures import ROWS, ct_ich, indexed_slices, random_grey, write_csv, write_picture

from sliceweave.pipelines.cases import PrepareOptions, SourceFiles
from sliceweave.pipelines.ct_ich import find_ct_ich_jpg
from sliceweave.pipelines.errors import InputError

PIXEL = PrepareOptions(pixel_mm=0.45)
# JPEG at quality 100 moves grey by up to two levels.
BRAIN_TOLERANCE_HU, BONE_TOLERANCE_HU = 2 * 120 / 255 + 0.01, 2 * 3200 / 255 + 0.01


def voxels(stack):
    return np.concatenate(list(stack.blocks()), axis=2)


def cases_of(root, options=PIXEL):
    return {case.study_id: case for case in find_ct_ich_jpg(SourceFiles(root), options)}


def opened(case):
    """Everything of a case, so that whatever is wrong with it is raised."""
    return voxels(case.image()), voxels(case.label())


def the_reason(case):
    with pytest.raises(InputError) as excinfo:
        opened(case)
    assert "\n" not in str(excinfo.value)
    return str(excinfo.value)


def hu_of(grey, lowest_hu, highest_hu):
    return lowest_hu + grey.astype(float) / 255 * (highest_hu - lowest_hu)


def brain_folder(root):
    return next(root.glob("*/Patients_CT/049/brain"))


def test_patients_come_out_as_the_generator_drew_them(tmp_path):
    known = ct_ich(tmp_path)
    files = SourceFiles(tmp_path)
    cases = find_ct_ich_jpg(files, PIXEL)
    assert [(case.study_id, case.patient) for case in cases] == [("patient049", "049"), ("patient050", "050")]
    assert list(files) == []
    for case in cases:
        label = opened(case)[1]
        assert np.array_equal(label, known[case.patient].label)
        stack = case.image()
        assert np.array_equal(stack.geometry.affine_ras, np.diag([-0.45, -0.45, 5, 1]))
        assert (stack.dtype, stack.flags) == (np.float32, ("assumed_orientation",))


def test_brain_window_counts_where_it_is_not_saturated_and_the_bone_window_beyond(tmp_path):
    known = ct_ich(tmp_path)["049"]
    hu = opened(cases_of(tmp_path)["patient049"])[0]
    brain, bone = hu_of(known.grey, -20, 100), hu_of(known.bone, -900, 2300)
    dark, bright = known.grey == 0, known.grey == 255
    inside = ~(dark | bright)
    assert np.abs(hu - brain)[inside].max() <= BRAIN_TOLERANCE_HU
    assert np.abs(hu - np.minimum(bone, -20))[dark].max() <= BONE_TOLERANCE_HU
    assert np.abs(hu - np.maximum(bone, 100))[bright].max() <= BONE_TOLERANCE_HU
    assert hu.min() < -100
    assert hu.max() > 200


def test_bone_window_never_leads_back_inside_the_brain_window(tmp_path):
    known = ct_ich(tmp_path)["049"]
    for picture in (brain_folder(tmp_path).parent / "bone").iterdir():
        write_picture(picture, np.full((24, 18), 72, np.uint8))  # 3.5 HU everywhere
    hu = opened(cases_of(tmp_path)["patient049"])[0]
    assert np.all(hu[known.grey == 0] == -20)
    assert np.all(hu[known.grey == 255] == 100)


def test_without_a_bone_picture_the_window_clips(tmp_path):
    known = ct_ich(tmp_path)["050"]
    hu = opened(cases_of(tmp_path)["patient050"])[0]
    assert np.abs(hu - hu_of(known.grey, -20, 100)).max() <= BRAIN_TOLERANCE_HU


def test_window_of_the_user_replaces_the_brain_window(tmp_path):
    known = ct_ich(tmp_path)["050"]
    hu = opened(cases_of(tmp_path, PrepareOptions(pixel_mm=0.45, window_hu=(0, 80)))["patient050"])[0]
    assert np.abs(hu - hu_of(known.grey, 0, 80)).max() <= BRAIN_TOLERANCE_HU


def test_spacing_file_goes_before_the_thickness_of_the_authors(tmp_path):
    ct_ich(tmp_path)
    write_csv(tmp_path / "spacing.csv", [("patient", "pixel_size_mm", "slice_thickness_mm"), (49, 0.5, 7), (50, 0.4)])
    cases = cases_of(tmp_path, PrepareOptions())
    assert cases["patient049"].image().geometry.spacing_mm == pytest.approx([0.5, 0.5, 7])
    assert cases["patient050"].image().geometry.spacing_mm == pytest.approx([0.4, 0.4, 5])


def test_pixel_size_that_nobody_states_costs_one_line(tmp_path):
    ct_ich(tmp_path)
    case = cases_of(tmp_path, PrepareOptions())["patient049"]
    assert the_reason(case).startswith("no pixel size for patient 049: expected spacing.csv")


def test_missing_slice_leaves_its_gap(tmp_path):
    ct_ich(tmp_path)
    for name in ("brain/10.jpg", "brain/10_HGE_Seg.jpg", "bone/10.jpg"):
        (brain_folder(tmp_path).parent / name).unlink()
    stack = cases_of(tmp_path)["patient049"].image()
    assert stack.geometry.spacing_mm[2] == pytest.approx(10)
    assert "missing_slices" in stack.flags
    assert stack.warnings == ("1 slice is missing between 9 and 11: 10; the gaps are kept",)


BAD = {
    "mask without a slice": (
        lambda brain: (brain / "9.jpg").unlink(),
        "9_HGE_Seg.jpg: expected its slice ",
    ),
    "bone without a slice": (lambda brain: (brain / "11.jpg").unlink(), "bone/11.jpg: expected its slice "),
    "mask of another size": (
        lambda brain: write_picture(brain / "9_HGE_Seg.jpg", random_grey(1)[:-1, :, 0]),
        "9_HGE_Seg.jpg: expected 24x18 pixels as its slice, got 23x18",
    ),
    "bone of another size": (
        lambda brain: write_picture(brain.parent / "bone" / "9.jpg", random_grey(1)[:-1, :, 0]),
        "bone/9.jpg: expected 24x18 pixels as ",
    ),
    "slice of another size": (
        lambda brain: write_picture(brain / "11.jpg", random_grey(1)[:-1, :, 0]),
        "11.jpg: expected 24x18 pixels as 9.jpg, got 23x18",
    ),
    "slice cut short": (
        lambda brain: (brain / "9.jpg").write_bytes((brain / "9.jpg").read_bytes()[:350]),
        "9.jpg: expected a whole PNG or JPG picture",
    ),
    "empty mask": (lambda brain: (brain / "9_HGE_Seg.jpg").write_bytes(b""), "9_HGE_Seg.jpg: expected a whole PNG"),
    "one slice twice": (
        lambda brain: write_picture(brain / "09.jpg", random_grey(1)[..., 0]),
        "brain/9.jpg: is slice 9, as is 09.jpg; remove one",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_patient_costs_one_line_and_no_other(tmp_path, case):
    spoil, message = BAD[case]
    ct_ich(tmp_path)
    spoil(brain_folder(tmp_path))
    cases = cases_of(tmp_path)
    assert message in the_reason(cases["patient049"])
    opened(cases["patient050"])


def test_indexed_slices_come_out_as_the_generator_drew_them(tmp_path):
    known = indexed_slices(tmp_path)
    files = SourceFiles(tmp_path)
    cases = {case.patient: case for case in find_ct_ich_jpg(files, PIXEL)}
    assert list(files) == []
    assert [case.study_id for case in cases.values()] == ["patient077", "patient080"]
    for patient, case in cases.items():
        image, label = opened(case)
        assert np.array_equal(label, known[patient].label)
        assert np.abs(image - hu_of(known[patient].grey, -20, 100)).max() <= BRAIN_TOLERANCE_HU
    uneven = cases["080"].image()
    assert uneven.geometry.slice_origins_ras_mm[:, 2] == pytest.approx([0, 5, 25])
    assert uneven.flags == ("assumed_orientation", "missing_slices")
    assert uneven.warnings == ("3 slices are missing between 9 and 14: 11, 12, 13; the gaps are kept",)


DIAGNOSES = "PatientNumber,SliceNumber,Intraparenchymal,No_Hemorrhage\n49,9,1,0\n49,10,1,0\n49,11,0,1\n50,1,0,1\n"


def test_a_slice_that_bleeds_by_the_diagnoses_has_to_have_its_mask(tmp_path):
    ct_ich(tmp_path)
    table = brain_folder(tmp_path).parents[2] / "hemorrhage_diagnosis.csv"
    table.write_text(DIAGNOSES)
    opened(cases_of(tmp_path)["patient049"])
    (brain_folder(tmp_path) / "10_HGE_Seg.jpg").unlink()
    cases = cases_of(tmp_path)
    assert "10_HGE_Seg.jpg: expected the mask of a slice that bleeds" in the_reason(cases["patient049"])
    opened(cases["patient050"])


def test_a_patient_in_an_extract_too_is_there_twice(tmp_path):
    ct_ich(tmp_path)
    indexed_slices(tmp_path / "extract")
    index = tmp_path / "extract/index.csv"
    index.write_text(index.read_text().replace(",77,", ",49,"))
    found = [case.study_id for case in find_ct_ich_jpg(SourceFiles(tmp_path), PIXEL)]
    assert sorted(found) == ["patient049", "patient049", "patient050", "patient080"]  # for `one_of_each_name` to refuse


BAD_INDEXED = {
    "missing picture": (lambda root: (root / "103.jpg").unlink(), "index.csv line 4: expected the picture "),
    "missing mask": (lambda root: (root / "103_mask.png").unlink(), "index.csv line 4: expected the mask "),
    "bad number": (
        lambda root: (root / "index.csv").write_text("file,patient,slice,types\n101.jpg,77,20,x\n103.jpg,80,nine,x\n"),
        "index.csv line 3: expected a patient and a slice number, got '080' and 'nine'",
    ),
    "one line twice": (
        lambda root: (root / "index.csv").write_text("file,patient,slice\n101.jpg,77,20\n103.jpg,80,9\n103.jpg,80,9\n"),
        "103.jpg, is listed twice; remove one of the lines",
    ),
    "one slice twice": (
        lambda root: (root / "index.csv").write_text("file,patient,slice\n101.jpg,77,20\n102.jpg,80,9\n103.jpg,80,9\n"),
        "expected one picture of slice 9, got ",
    ),
    "mask of another size": (
        lambda root: write_picture(root / "103_mask.png", random_grey(1)[:-1, :, 0]),
        f"103_mask.png: expected 24x{ROWS} pixels as its slice, got 23x{ROWS}",
    ),
}


@pytest.mark.parametrize("case", BAD_INDEXED)
def test_bad_line_of_the_index_costs_its_patient_only(tmp_path, case):
    spoil, message = BAD_INDEXED[case]
    indexed_slices(tmp_path)
    spoil(tmp_path)
    cases = cases_of(tmp_path)
    assert message in the_reason(cases["patient080"])
    opened(cases["patient077"])


@pytest.mark.parametrize("content", ["a,b\n1,2\n", "", "file,patient,slice\n"])
def test_another_index_is_left_alone(tmp_path, content):
    (tmp_path / "index.csv").write_text(content)
    files = SourceFiles(tmp_path)
    assert find_ct_ich_jpg(files, PIXEL) == []
    assert len(list(files)) == 1


def test_real_slices_keep_their_gaps_and_their_bleeding(real_data):
    folder = real_data / "head_ct" / "ct_ich" / "labelled" / "slices"
    if not folder.is_dir():
        pytest.skip(f"no CT-ICH slices in {folder}")
    cases = cases_of(folder)
    assert list(cases) == ["patient077", "patient080"]
    image, label = opened(cases["patient077"])
    assert image.shape == label.shape == (650, 650, 2)
    assert (image.min(), image.max()) == (-20, 100)
    assert label.sum(axis=(0, 1)).tolist() == [1516, 993]
    # Fresh blood is brighter than the brain around it.
    assert 50 < image[label == 1].mean() < 90
    geometry = cases["patient080"].image().geometry
    assert (np.diff(geometry.slice_origins_ras_mm[:, 2]) / 5).tolist() == [1, 1, 4, 1, 1, 2, 2]
