import json
from pathlib import Path

import pytest

from sliceweave.pipelines.comparison_split import digests, read_split, split_studies, write_split
from sliceweave.pipelines.errors import InputError


def folder_of(studies: int, folder: Path) -> Path:
    """Names of labelled studies: who takes part is decided without reading one."""
    for kind in ("images", "labels"):
        (folder / kind).mkdir(parents=True)
        for number in range(studies):
            (folder / kind / f"s{number}.nii.gz").touch()
    return folder


def prepared_folder(folder: Path) -> Path:
    folder_of(4, folder)
    sides = {"training": [1, 3], "validation": [0], "test": [2]}
    content = {
        side: [{"study_id": f"s{n}", "image": f"images/s{n}.nii.gz", "label": f"labels/s{n}.nii.gz"} for n in numbers]
        for side, numbers in sides.items()
    }
    (folder / "datalist.json").write_text(json.dumps({"prepared": {}, **content}))
    return folder


def ids(split: dict[str, list[dict[str, str]]]) -> dict[str, list[str]]:
    return {side: [case["study_id"] for case in cases] for side, cases in split.items()}


def test_every_study_stands_on_one_side_and_each_side_has_some(tmp_path: Path) -> None:
    split = split_studies(str(folder_of(20, tmp_path)))
    assert {side: len(cases) for side, cases in split.items()} == {"training": 16, "validation": 2, "test": 2}
    assert sorted(name for names in ids(split).values() for name in names) == sorted(f"s{n}" for n in range(20))
    assert split_studies(str(tmp_path)) == split


def test_shares_are_as_given(tmp_path: Path) -> None:
    split = split_studies(str(folder_of(6, tmp_path)), "1:1:1")
    assert [len(cases) for cases in split.values()] == [2, 2, 2]


def test_prepared_studies_stay_on_their_sides(tmp_path: Path) -> None:
    folder = prepared_folder(tmp_path)
    split = split_studies(str(folder))
    assert ids(split) == {"training": ["s1", "s3"], "validation": ["s0"], "test": ["s2"]}
    with pytest.raises(InputError, match="leave out --split"):
        split_studies(str(folder), "1:1:1")


def test_paths_are_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder_of(3, tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    files = [case[key] for cases in split_studies("data").values() for case in cases for key in ("image", "label")]
    assert all(Path(file).is_absolute() and Path(file).exists() for file in files)


@pytest.mark.parametrize(("studies", "shares"), [(2, None), (5, "4:1:0")])
def test_a_side_without_studies_is_one_line(studies: int, shares: str | None, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"none of {studies} labelled studies is left for test"):
        split_studies(str(folder_of(studies, tmp_path)), shares)


def test_what_was_written_is_read(tmp_path: Path) -> None:
    split = split_studies(str(folder_of(5, tmp_path / "ä")))
    write_split(tmp_path / "split.json", split)
    assert {side: read_split(str(tmp_path / "split.json"), side) for side in split} == split
    with pytest.raises(InputError, match="expected the split that compare wrote"):
        read_split(str(tmp_path / "split.json"), "tests")


def test_a_file_that_changes_shows_in_its_studys_digest_alone(tmp_path: Path) -> None:
    split = split_studies(str(folder_of(5, tmp_path)))
    before = digests(split)
    (tmp_path / "labels/s3.nii.gz").write_bytes(b"more")
    after = digests(split)
    assert [(side, name) for side in before for name in before[side] if before[side][name] != after[side][name]] == [
        (side, "s3") for side, names in ids(split).items() if "s3" in names
    ]
