"""Nothing of one patient on two sides: who a study's patient is, and where it stands, also from run to run."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from sliceweave.pipelines.cases import Case, broken
from sliceweave.pipelines.rows import Row
from sliceweave.pipelines.splits import SPLITS, draw_splits


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


def settle(cases: Sequence[Case], earlier: Mapping[str, Row]) -> tuple[list[Case], dict[str, str]]:
    """The cases under the patient and on the side they already have, and the reasons of those that cannot have one.

    A patient's side is what the data set prescribes and what earlier rows say of any of its studies. Where that is
    more than one side, all of the patient's studies are refused.
    """
    by_patient: dict[str, list[Case]] = defaultdict(list)
    for case in cases:
        by_patient[patient_of(case)].append(case)
    recorded: dict[str, list[Row]] = defaultdict(list)
    for row in earlier.values():
        recorded[str(row["patient"])].append(row)
    settled, refused = {}, {}
    for patient, own in by_patient.items():
        known = [earlier[case.study_id] for case in own if case.study_id in earlier]
        names = sorted({str(row["patient"]) for row in known}) or [patient]
        rows = [row for name in names for row in recorded[name]]
        sides = {str(row["split"]) for row in rows if row["split"]} | {case.split for case in own if case.split}
        for case in own:
            if reason := _objection(patient, sides):
                refused[case.study_id] = reason
            settled[case.study_id] = replace(case, patient=names[0], split=next(iter(sides), ""))
    return [settled[case.study_id] for case in cases], refused


def with_splits(rows: Sequence[Row], drawing: Drawing) -> list[Row]:
    """The rows, each usable study's patient on a side; studies that cannot be used stand on none.

    Patients with a label are drawn first, so that they meet the shares.
    """
    usable = [row for row in rows if row["status"] == "ok"]
    sides = {str(row["patient"]): str(row["split"]) for row in usable if row["split"]}
    labelled = [row for row in usable if str(row["labelled"]) == "True"]
    for some in (labelled, usable):
        sides = draw_splits([str(row["patient"]) for row in some], sides, drawing.shares, drawing.seed)
    return [row | {"split": sides[str(row["patient"])] if row["status"] == "ok" else ""} for row in rows]


def _objection(patient: str, sides: set[str]) -> str:
    if unknown := sides - set(SPLITS):
        return f"expected the split {', '.join(SPLITS)}, got {', '.join(sorted(unknown))}"
    if len(sides) > 1:
        return f"patient {patient} stands in {' and '.join(sorted(sides))}; a patient belongs to one side"
    return ""
