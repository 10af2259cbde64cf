"""Who trains, validates and tests in a comparison: the same studies for every network and every seed."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from monai.transforms import Compose, LoadImaged
from tqdm import tqdm

from sliceweave.pipelines.atomic import write_atomically
from sliceweave.pipelines.datasets import CheckLabeld, StudyDataset, datalist
from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.prepared_folder import PreparedList
from sliceweave.pipelines.splits import SPLITS, draw_splits, parse_shares
from sliceweave.pipelines.study_reader import StudyReader
from sliceweave.pipelines.volume_cache import case_digest

Cases = list[dict[str, str]]

DEFAULT_SHARES = "8:1:1"
_SEED = 0  # of the draw; the seeds of a comparison are those of the trainings


def split_studies(data: str, shares: str | None = None) -> dict[str, Cases]:
    """The labelled studies as `{"training", "validation", "test"}`, paths absolute.

    A folder that `sliceweave prepare` made has its patients split already. Of anything else studies are drawn, each
    taken for a patient of its own.

    Raises:
        InputError: nothing to work on, a side without studies, or shares for studies that are split already.
    """
    cases = datalist(data, labelled=True)
    if prepared := PreparedList.found_in(data):
        if shares is not None:
            raise InputError(f"{data} has its patients split already, by sliceweave prepare: leave out --split")
        return {side: _absolute(prepared.cases(side)) for side in SPLITS}
    sides = draw_splits((case["study_id"] for case in cases), {}, parse_shares(shares or DEFAULT_SHARES), _SEED)
    split = {side: _absolute([case for case in cases if sides[case["study_id"]] == side]) for side in SPLITS}
    if empty := [side for side in SPLITS if not split[side]]:
        raise InputError(
            f"{data}: none of {len(cases)} labelled studies is left for {empty[0]}: "
            "give more studies, or shares above zero with --split 8:1:1"
        )
    return split


def check_studies(split: Mapping[str, Cases], label_values: Sequence[int]) -> None:
    """Reads every study as a training does: better now than after the trainings.

    Raises:
        InputError: some cannot be used; says how many, and what is wrong with the first.
    """
    keys = ("image", "label")
    read = Compose([LoadImaged(keys, reader=StudyReader, ensure_channel_first=True), CheckLabeld(label_values)])
    cases = [case for side in SPLITS for case in split[side]]
    studies = StudyDataset(cases, read)
    numbers = tqdm(range(len(cases)), "studies read", unit="study", leave=False, disable=None)
    if failed := [study for study in map(studies.__getitem__, numbers) if "reason" in study]:
        raise InputError(
            f"{len(failed)} of {len(cases)} studies cannot be used, the first is {failed[0]['study_id']}: "
            f"{failed[0]['reason']}"
        )


def digests(split: Mapping[str, Cases]) -> dict[str, dict[str, str]]:
    """For each side and study what changes with its files: path, size and time."""
    return {side: {case["study_id"]: _digest(case) for case in cases} for side, cases in split.items()}


def write_split(path: Path, split: Mapping[str, Cases]) -> None:
    """The split as a file for `read_split`. Raises InputError where it cannot be written."""
    write_atomically(path, json.dumps(split, indent=1).encode())


def read_split(path: str, side: str) -> Cases:
    """The cases of one side, as a bundle's config asks for them.

    Raises:
        InputError: the file is not there, or not what `write_split` wrote.
    """
    try:
        cases: Cases = json.loads(Path(path).read_bytes())[side]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: expected the split that compare wrote ({error}); run compare again") from error
    return cases


def _absolute(cases: Cases) -> Cases:
    return [{**case, **{key: str(Path(case[key]).absolute()) for key in ("image", "label")}} for case in cases]


def _digest(case: Mapping[str, str]) -> str:
    return case_digest({key: case[key] for key in ("image", "label")}, "")[:8]
