"""Columns of the tables, in order: the report of an inference run, then the scores of an evaluation."""

VOLUME_COLUMNS = (
    "study_id",
    "status",
    "reason",
    "label",
    "volume_ml",
    "volume_low_ml",
    "volume_high_ml",
    "coverage",
    "reference_volume_ml",
    "abc2_ml",
    "a_mm",
    "b_mm",
    "c_mm",
    "lesions",
    "largest_lesion_ml",
    "slices",
    "max_area_mm2",
    "centroid_r_mm",
    "centroid_a_mm",
    "centroid_s_mm",
    "side",
    "voxel_ml",
    "spacing_mm",
    "flags",
    "image_sha256",
    "model",
    "model_version",
    "seconds",
)
LESION_COLUMNS = (
    "study_id",
    "label",
    "lesion",
    "volume_ml",
    "slices",
    "max_area_mm2",
    "a_mm",
    "b_mm",
    "c_mm",
    "abc2_ml",
    "centroid_r_mm",
    "centroid_a_mm",
    "centroid_s_mm",
    "touches_border",
)
SLICE_COLUMNS = ("study_id", "label", "slice", "area_mm2", "thickness_mm")

METRICS = (
    "dice",
    "iou",
    "rvd",
    "abs_rvd",
    "precision",
    "recall",
    "accuracy",
    "hd_mm",
    "hd95_mm",
    "assd_mm",
    "volume_error_ml",
)
CASE_COLUMNS = ("study_id", "label", *METRICS)
SUMMARY_COLUMNS = ("label", "metric", "mean", "sd", "median", "low", "high", "cases")
FAILED_COLUMNS = ("study_id", "reason")

TEXT_COLUMNS = frozenset(
    (
        "study_id",
        "patient",
        "kinds",
        "status",
        "reason",
        "label",
        "metric",
        "side",
        "spacing_mm",
        "flags",
        "image_sha256",
        "model",
        "model_version",
        "patient",
        "split",
        "orientation",
        "notes",
    )
)
