"""What became of a data set, for a terminal."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sliceweave.pipelines.patients import is_labelled
from sliceweave.pipelines.rows import Row
from sliceweave.pipelines.splits import SPLITS

GONE = "gone"  # the status of a study that is no longer in the source


@dataclass(frozen=True)
class Outcome:
    """A row per study, in the order in which they were found."""

    rows: Sequence[Row]

    @property
    def failed(self) -> list[str]:
        """One line per study that cannot be used."""
        return [f"{row['study_id']}: {row['reason']}" for row in self.rows if row["status"] == "failed"]

    @property
    def gone(self) -> list[str]:
        """The studies that were prepared once and are no longer in the source: nothing lists them to train on."""
        return [str(row["study_id"]) for row in self.rows if row["status"] == GONE]

    @property
    def notes(self) -> list[str]:
        """One line per study that can be used and should be looked at."""
        return [f"{row['study_id']}: {row['notes']}" for row in self.usable if row["notes"]]

    @property
    def usable(self) -> list[Row]:
        """Rows of the studies that can be used."""
        return [row for row in self.rows if row["status"] == "ok"]

    def summary(self, dest: Path | None) -> str:
        """Counts, and a line for each study that is not as it should be."""
        what = f"prepared in {dest}" if dest else "usable"
        sides = Counter(str(row["split"]) if is_labelled(row) else "unlabelled" for row in self.usable)
        named = (*SPLITS, "unlabelled") if sides["unlabelled"] else SPLITS
        counts = ", ".join(f"{sides[side]} {side}" for side in named) if dest else "nothing was written"
        lines = [
            f"{len(self.usable)} of {len(self.rows) - len(self.gone)} studies {what}: {counts}",
            *_label_lines(self.usable),
        ]
        gone = "no longer in the source, and so no longer in datalist.json"
        for title, listed in (
            ("could not be used", self.failed),
            ("should be looked at", self.notes),
            (gone, self.gone),
        ):
            if listed:
                lines += [f"{len(listed)} {title}:", *(f"  {line}" for line in listed)]
        return "\n".join(lines)


def _label_lines(rows: Sequence[Row]) -> list[str]:
    """How often each label is there, so that a wrong coding is seen."""
    labelled = [row for row in rows if is_labelled(row)]
    columns = [column for row in labelled[:1] for column in row if column.endswith("_slices")]
    return [
        f"{column.removesuffix('_slices')} in {sum(str(row[column]) != '0' for row in labelled)} of "
        f"{len(labelled)} labelled studies, on {sum(int(str(row[column])) for row in labelled)} slices"
        for column in columns
    ]
