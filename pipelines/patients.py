"""Nothing of one patient on two sides: who a study's patient is, and where it stands, also from run to run."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from sliceweave.pipelines.cases import Case, broken
from sliceweave.pipelines.rows import Row
from sliceweave.pipelines.splits import SPLITS, draw_splits


class Side(NamedTuple):
    """Where a study stands, and whose it is."""

    patient: str
    split: str


Sides = Mapping[str, Side]  # by study


@dataclass(frozen=True)
class Drawing:
    """How patients are split: shares of training, validation and test, and the seed of the draw."""

    shares: Mapping[str, float]
    seed: int = 0


def patient_of(case: Case) -> str:
    """The patient's pseudonym: the study's own id where the data set tells no patients."""
    return case.patient or case.study_id


def one_of_each_name(cases: Sequence[Case]) -> list[Case]:
    """The cases, those that share an id made one that fails."""
    count = Counter(case.study_id for case in cases)
    last = {case.study_id: case for case in reversed(cases)}
    return [
        case
        if count[study_id] == 1
        else broken(study_id, f"expected one study of this name, found {count[study_id]}; rename all but one")
        for study_id, case in reversed(last.items())
    ]


def settle(cases: Sequence[Case], recorded: Sides) -> tuple[list[Case], dict[str, str]]:
    """The cases under the patient and on the side they already have, and the reasons of those that cannot have one.

    A patient's side is what the data set prescribes, what is recorded of it, and what is recorded of any of its studies
    under whatever name. Where that is more than one side, all of the patient's studies are refused, and the record
    stays as it is.
    """
    by_patient: dict[str, list[Case]] = defaultdict(list)
    for case in cases:
        by_patient[patient_of(case)].append(case)
    sides_of: dict[str, set[str]] = defaultdict(set)
    for side in recorded.values():
        sides_of[side.patient].add(side.split)
    settled, refused = {}, {}
    for patient, own in by_patient.items():
        known = sorted({recorded[case.study_id].patient for case in own if case.study_id in recorded})
        sides = {split for name in (patient, *known) for split in sides_of.get(name, ())}
        sides |= {case.split for case in own if case.split}
        reason = _objection(patient, sides)
        for case in own:
            if reason:
                refused[case.study_id] = reason
            name, split = (patient, "") if reason else ([*known, patient][0], next(iter(sides), ""))
            settled[case.study_id] = replace(case, patient=name, split=split)
    return [settled[case.study_id] for case in cases], refused


def drawn(rows: Sequence[Row], recorded: Sides, drawing: Drawing) -> dict[str, Side]:
    """The record with every usable study of the rows on a side.

    Patients with a label are drawn first, so that they meet the shares.
    """
    usable = [row for row in rows if row["status"] == "ok"]
    sides = {side.patient: side.split for side in recorded.values()}
    sides |= {str(row["patient"]): str(row["split"]) for row in usable if row["split"]}
    labelled = [row for row in usable if is_labelled(row)]
    for some in (labelled, usable):
        sides = draw_splits([str(row["patient"]) for row in some], sides, drawing.shares, drawing.seed)
    patients = {str(row["study_id"]): str(row["patient"]) for row in usable}
    return {**recorded, **{study_id: Side(patient, sides[patient]) for study_id, patient in patients.items()}}


def on_their_sides(rows: Sequence[Row], sides: Sides) -> list[Row]:
    """The rows with the side that each study has on record; empty for one that has none yet."""
    none = Side("", "")
    return [row | {"split": sides.get(str(row["study_id"]), none).split} for row in rows]


def is_labelled(row: Row) -> bool:
    """Whether the study of a row of `dataset.csv` has a label; the row may have been read from the file."""
    return str(row["labelled"]) == "True"


def _objection(patient: str, sides: set[str]) -> str:
    if unknown := sides - set(SPLITS):
        return f"expected the split {', '.join(SPLITS)}, got {', '.join(sorted(unknown))}"
    if len(sides) > 1:
        both = " and ".join(sorted(sides))
        return f"patient {patient} stands in {both}; a patient belongs to one side: correct it, or take another folder"
    return ""
