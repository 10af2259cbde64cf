"""The tables of the five papers as printed, each value with the metric of ours that it is to be compared with.

The values are the papers' own, on their own data. `Metric.label` and `Metric.name` are those of `summary.csv`.
"""

from collections.abc import Mapping
from typing import NamedTuple


class Metric(NamedTuple):
    """A column of a printed table.

    Args:
        heading: as the paper calls it.
        name: the metric's name here.
        label: the structure, or `all` for what spans all classes.
        unit: `%` where the paper prints hundredths.
    """

    heading: str
    name: str
    label: str
    unit: str = ""

    @property
    def scale(self) -> float:
        """By what a value of ours is multiplied to stand in the paper's unit."""
        return 100.0 if self.unit == "%" else 1.0


class PrintedTable(NamedTuple):
    """One table of a paper, or one block of it.

    Args:
        number: of the table in the paper.
        rows: the values as printed, in the metrics' order with blanks between, by the row's label in the catalogue.
        subgroup: of which patients; empty for all that were tested.
    """

    task: str
    number: int
    title: str
    metrics: tuple[Metric, ...]
    rows: Mapping[str, str]
    subgroup: str = ""

    def printed(self, row: str) -> dict[Metric, str]:
        """The values of a row as printed; none for a row that is not there."""
        return dict(zip(self.metrics, self.rows[row].split(), strict=True)) if row in self.rows else {}

    def decimals(self, metric: Metric) -> int:
        """How many digits the paper prints behind the point."""
        return max(len(self.printed(row)[metric].partition(".")[2]) for row in self.rows)


class Paper(NamedTuple):
    """Who printed the tables, and of which data the numbers are."""

    citation: str
    data: str


PAPERS = {
    "hematoma": Paper(
        "Li, Yu, Hu, Ke, Yu", "head CT of one hospital, 412 patients to train and 40 (660 slices) to test"
    ),
    "lung_infection": Paper("Lu, Yuan, Xu 2023", "COVID-19 CT segmentation sets, 6804 slices"),
    "liver_tumor": Paper("Du, Wang 2025", "LiTS2017, 131 studies, 8:1:1"),
    "knee_cartilage": Paper("Bi et al. 2023", "100 studies of OAI-ZIB"),
    "echo_left_ventricle": Paper("Heng, Yan, Xie 2025", "500 frames of 10 patients, 100 of these frames to test"),
}

_OVERLAP = (Metric("Rvd", "abs_rvd", "hematoma"), Metric("Dice", "dice", "hematoma"), Metric("IOU", "iou", "hematoma"))
_ERRORS = (
    Metric("RMSE", "volume_rmse_ml", "hematoma", "ml"),
    Metric("MAE", "abs_volume_error_ml", "hematoma", "ml"),
)
_PIXELS = (Metric("ACC", "accuracy", "all", "%"), Metric("MIoU", "mean_iou", "all", "%"))
_TUMOR = (
    Metric("Dice", "dice", "tumor"),
    Metric("Precision", "precision", "tumor"),
    Metric("Recall", "recall", "tumor"),
)
_VENTRICLE = (Metric("Dice", "dice", "left_ventricle", "%"), Metric("Acc", "accuracy", "all", "%"))


def _cartilage(label: str) -> tuple[Metric, ...]:
    return (
        Metric("DSC", "dice", label, "%"),
        Metric("Precision", "precision", label, "%"),
        Metric("Recall", "recall", label, "%"),
        Metric("HD", "hd_mm", label, "mm"),
    )


PRINTED_TABLES = (
    PrintedTable(
        "hematoma",
        1,
        "segmentation",
        _OVERLAP,
        {
            "FCN8s": "0.271 0.789 0.684",
            "SegNet": "0.238 0.810 0.712",
            "U-Net": "0.208 0.833 0.747",
            "proposed": "0.177 0.856 0.782",
        },
    ),
    PrintedTable(
        "hematoma",
        2,
        "bleeding volume",
        _ERRORS,
        {"FCN8s": "9.498 8.055", "SegNet": "8.707 7.153", "U-Net": "7.479 5.741", "proposed": "4.618 3.614"},
    ),
    PrintedTable(
        "hematoma",
        3,
        "segmentation, irregular haematomas",
        _OVERLAP,
        {"U-Net": "0.234 0.813 0.718", "proposed": "0.201 0.838 0.756"},
        "irregular",
    ),
    PrintedTable(
        "hematoma",
        4,
        "bleeding volume, irregular haematomas",
        _ERRORS,
        {"U-Net": "14.613 13.618", "proposed": "7.192 6.246"},
        "irregular",
    ),
    PrintedTable(
        "hematoma",
        5,
        "segmentation, haematomas near the skull",
        _OVERLAP,
        {"U-Net": "0.314 0.761 0.648", "proposed": "0.259 0.798 0.696"},
        "near skull",
    ),
    PrintedTable(
        "hematoma",
        6,
        "bleeding volume, haematomas near the skull",
        _ERRORS,
        {"U-Net": "19.872 16.542", "proposed": "14.787 12.062"},
        "near skull",
    ),
    PrintedTable(
        "hematoma",
        7,
        "ablation",
        _OVERLAP,
        {"SA": "0.186 0.849 0.771", "SA+CA": "0.181 0.853 0.777", "SA+CA+SPA": "0.177 0.856 0.782"},
    ),
    PrintedTable(
        "lung_infection",
        1,
        "segmentation",
        _PIXELS,
        {"SegNet": "78.8 68.8", "U²-Net": "81.2 76.9", "LG-Net": "91.5 80.3"},
    ),
    PrintedTable(
        "lung_infection",
        2,
        "ablation",
        _PIXELS,
        {
            "U-Net": "77.8 69.8",
            "+ multi-level residual": "84.9 74.6",
            "+ LG-attention": "89.7 76.1",
            "+ FF": "86.6 75.4",
            "all": "91.5 80.3",
        },
    ),
    PrintedTable(
        "liver_tumor",
        1,
        "segmentation",
        _TUMOR,
        {
            "U-Net": "0.648 0.735 0.678",
            "U-Net + attention": "0.481 0.933 0.329",
            "U-Net + residual": "0.688 0.971 0.575",
            "RA-U-Net": "0.773 0.983 0.637",
            "3D U-Net": "0.717 0.934 0.612",
        },
    ),
    PrintedTable(
        "knee_cartilage",
        1,
        "femoral cartilage",
        _cartilage("femoral_cartilage"),
        {
            "U-Net": "89.13 90.54 88.32 8.13",
            "U-Net++": "89.40 90.68 89.74 7.53",
            "Att U-Net": "89.17 90.58 89.95 7.26",
            "EAS U-Net": "90.37 91.69 90.27 6.34",
        },
    ),
    PrintedTable(
        "knee_cartilage",
        1,
        "tibial cartilage",
        _cartilage("tibial_cartilage"),
        {
            "U-Net": "88.26 87.94 89.36 5.46",
            "U-Net++": "88.97 88.23 88.69 5.58",
            "Att U-Net": "88.29 88.14 90.20 5.14",
            "EAS U-Net": "89.90 89.09 90.37 4.34",
        },
    ),
    PrintedTable(
        "echo_left_ventricle",
        2,
        "segmentation",
        _VENTRICLE,
        {"U-Net": "87.35 97.36", "ResUNet": "90.67 97.82", "proposed": "92.38 98.73"},
    ),
)


def tables_of(task: str) -> list[PrintedTable]:
    """The tables of a task's paper over all its test patients; those of subgroups left out."""
    return [table for table in PRINTED_TABLES if table.task == task and not table.subgroup]
