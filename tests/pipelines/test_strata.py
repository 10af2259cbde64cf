import numpy as np
import pandas as pd
import pytest
from tilted_grids import grid, voxels_mm

from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.strata import size_band, stratum_values
from sliceweave.pipelines.strata_tables import markdown, strata_tables, with_models

GEOMETRY = grid((1.0, 1.3, 5.0), (150.0, 150.0, 100.0), (12.0, -8.0, 20.0), tilt_deg=10)
POINTS = voxels_mm(GEOMETRY)
RADIUS_MM = np.linalg.norm(POINTS, axis=-1)
HEAD_HU = np.select([RADIUS_MM < 62, RADIUS_MM < 69], [35, 900], -1000).astype(np.float32)


@pytest.mark.parametrize(
    ("volume_ml", "band"),
    [
        (0.0, ""),
        (np.nan, ""),
        (0.01, "under 5 ml"),
        (4.999, "under 5 ml"),
        (5.0, "5 to 30 ml"),
        (30.0, "5 to 30 ml"),
        (30.001, "over 30 ml"),
    ],
)
def test_bands_of_size_meet_at_5_and_30_ml(volume_ml: float, band: str) -> None:
    assert size_band(volume_ml) == band


def test_a_deep_ball_is_regular_and_far_from_the_skull() -> None:
    facts = stratum_values(RADIUS_MM < 15, GEOMETRY, HEAD_HU)
    assert (facts.irregular, facts.near_skull, facts.size_band) == (False, False, "5 to 30 ml")
    assert facts.volume_ml == pytest.approx(4 / 3 * np.pi * 1.5**3, rel=0.02)


def test_a_sheet_of_blood_under_the_skull_is_irregular_and_near() -> None:
    sheet = (RADIUS_MM < 61) & (RADIUS_MM > 50) & (POINTS[..., 0] > 20)
    facts = stratum_values(sheet.astype(np.uint8), GEOMETRY, HEAD_HU)
    assert (facts.irregular, facts.near_skull, facts.size_band) == (True, True, "over 30 ml")


def test_without_an_image_nobody_knows_what_is_near_the_skull() -> None:
    facts = stratum_values(RADIUS_MM < 15, GEOMETRY)
    assert (facts.irregular, facts.skull_distance_mm, facts.near_skull) == (False, None, None)


def test_an_empty_mask_is_in_no_stratum() -> None:
    facts = stratum_values(np.zeros(GEOMETRY.shape, np.uint8), GEOMETRY, HEAD_HU)
    assert (facts.volume_ml, facts.size_band) == (0.0, "")
    assert (facts.roundness, facts.solidity, facts.irregular, facts.near_skull) == (None, None, None, None)


def cases(seed: int, study_ids: str) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    scores = {name: rng.uniform(0, 1, len(study_ids)) for name in ("abs_rvd", "dice", "iou")}
    errors_ml = rng.normal(0, 5, len(study_ids))
    return pd.DataFrame({"study_id": list(study_ids), "label": "hematoma", **scores, "volume_error_ml": errors_ml})


STRATA = pd.DataFrame(
    {
        "study_id": list("abcde"),
        "irregular": [True, False, True, None, False],
        "near_skull": [None, None, None, None, None],
        "size_band": ["under 5 ml", "5 to 30 ml", "5 to 30 ml", "", "5 to 30 ml"],
    }
)


def test_tables_hold_what_numpy_says_of_each_model_and_stratum() -> None:
    models = {"U-Net": cases(0, "abcde"), "ours": cases(1, "edcba")}
    tables = {table.name: table for table in strata_tables(with_models(models), STRATA)}
    assert list(tables) == [f"table_{number}" for number in range(1, 13)]
    assert list(tables["table_1"].rows.columns) == ["model", "Rvd", "Dice", "IOU"]
    assert list(tables["table_2"].rows.columns) == ["model", "RMSE", "MAE"]
    for number, members in {1: "abcde", 3: "ac", 7: "a", 9: "bce"}.items():
        for row, table in enumerate(models.values()):
            scores = table.set_index("study_id").loc[list(members)]
            expected = [scores[name].sum() / len(members) for name in ("abs_rvd", "dice", "iou")]
            assert tables[f"table_{number}"].rows.iloc[row, 1:].tolist() == pytest.approx(expected)
            errors_ml = scores["volume_error_ml"].to_numpy()
            expected = [np.sqrt(np.mean(errors_ml**2)), np.abs(errors_ml).mean()]
            assert tables[f"table_{number + 1}"].rows.iloc[row, 1:].tolist() == pytest.approx(expected)
    assert tables["table_3"].caption == "Table 3: segmentation of irregular haematomas (2 studies)"
    assert list(tables["table_3"].rows["model"]) == ["U-Net", "ours"]


def test_a_stratum_without_studies_has_empty_cells() -> None:
    tables = strata_tables(with_models({"U-Net": cases(0, "abcde")}), STRATA)
    assert tables[4].caption.endswith("(0 studies)")
    assert tables[4].rows.iloc[0, 1:].isna().all()
    assert "| U-Net |  |  |  |" in markdown(tables)


def test_models_are_compared_on_the_studies_of_all(caplog: pytest.LogCaptureFixture) -> None:
    tables = strata_tables(with_models({"A": cases(0, "abcde"), "B": cases(1, "abz")}), STRATA)
    assert tables[0].caption.endswith("(2 studies)")
    assert tables[0].rows.iloc[0]["Dice"] == pytest.approx(cases(0, "abcde")["dice"][:2].mean())
    assert "3 studies of the cases of A are left out" in caplog.text
    assert "1 studies of the cases of B are left out" in caplog.text


def test_models_names_break_no_markdown() -> None:
    tables = strata_tables(with_models({"a|b<c": cases(0, "abcde")}), STRATA)
    assert "| a\\|b&lt;c | 0." in markdown(tables)


def test_of_several_labels_one_has_to_be_chosen() -> None:
    both = pd.concat([cases(0, "abcde"), cases(1, "abcde").assign(label="edema")])
    with pytest.raises(InputError, match="hold the labels edema, hematoma; choose one with --label"):
        with_models({"A": both})
    chosen = with_models({"A": both}, "edema")
    assert chosen["dice"].tolist() == cases(1, "abcde")["dice"].tolist()


def test_a_table_without_scores_is_refused() -> None:
    with pytest.raises(InputError, match=r"cases of A: expected the columns of cases\.csv, without dice"):
        with_models({"A": cases(0, "abc").drop(columns="dice")})
