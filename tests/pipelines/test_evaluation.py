"""The scores' handler in a real engine over files, with a network that takes the image for the answer."""

import json
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from ignite.engine import Events
from monai.data import DataLoader, Dataset
from monai.engines import SupervisedEvaluator
from monai.handlers import StatsHandler
from monai.transforms import AsDiscreted, Compose, EnsureTyped, LoadImaged

from sliceweave.pipelines.datasets import StudyDataset
from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.evaluation import CaseScores, run_evaluation
from sliceweave.pipelines.inference import tolerant_iteration
from sliceweave.pipelines.study_kind import StudyKind
from sliceweave.pipelines.study_reader import StudyReader
from sliceweave.pipelines.tables import read_table

SHAPE = (8, 7, 6)
AFFINE = np.diag([2.0, 0.5, 3.0, 1.0])  # 0.003 ml a voxel
TUMOR = {0: "background", 1: "tumor"}
SCAN, VIDEO = StudyKind("RAS"), StudyKind("RAS", has_volume=False)

Case = dict[str, str]
Network = Callable[[torch.Tensor], torch.Tensor]


class Fake(torch.nn.Module):
    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.network(image)


def save(path: Path, *boxes: tuple[slice, ...]) -> str:
    voxels = np.zeros(SHAPE, np.uint8)
    for value, box in enumerate(boxes, 1):
        voxels[box] = value
    nifti = nib.Nifti1Image(voxels, AFFINE)
    nifti.header.set_xyzt_units("mm")
    nib.save(nifti, path)
    return str(path)


@pytest.fixture
def cases(tmp_path: Path) -> list[Case]:
    """Three studies: found exactly, half found, missed."""
    folder = tmp_path / "studies"
    folder.mkdir()
    truth = np.s_[2:6, 2:4, 2:4]
    boxes = {"exact": [truth], "half": [np.s_[2:4, 2:4, 2:4]], "missed": []}
    return [
        {
            "study_id": name,
            "image": save(folder / f"{name}.nii.gz", *found),
            "label": save(folder / f"{name}_label.nii.gz", truth),
        }
        for name, found in boxes.items()
    ]


def engine(
    cases: Sequence[Case],
    handlers: Sequence[Any],
    network: Network = lambda image: image * 1,
    dataset: type[Dataset] = StudyDataset,
    batch_size: int = 1,
) -> SupervisedEvaluator:
    load = Compose(
        [
            LoadImaged(["image", "label"], reader=StudyReader, ensure_channel_first=True),
            EnsureTyped(["image", "label"]),
        ]
    )
    return SupervisedEvaluator(
        device="cpu",
        val_data_loader=DataLoader(dataset(list(cases), load), batch_size=batch_size),
        network=Fake(network),
        postprocessing=AsDiscreted("pred", rounding="torchrounding"),
        iteration_update=tolerant_iteration,
        val_handlers=handlers,
    )


def scored_ids(folder: Path) -> list[str]:
    return read_table(folder / "cases.csv")["study_id"].tolist()


def test_each_study_is_scored_on_its_scans_own_grid(cases: list[Case], tmp_path: Path) -> None:
    scores = CaseScores(tmp_path / "out", TUMOR, SCAN)
    run_evaluation(engine(cases, [scores]), scores)
    table = read_table(tmp_path / "out/cases.csv").set_index("study_id")
    assert table.index.tolist() == ["exact", "half", "missed"]
    assert set(table["label"]) == {"tumor"}
    assert table["dice"].tolist() == pytest.approx([1, 2 / 3, 0], abs=1e-6)
    assert table["volume_error_ml"].tolist() == pytest.approx([0, -8 * 0.003, -16 * 0.003])
    assert table["hd_mm"].tolist() == pytest.approx([0, 4, np.linalg.norm([16, 3.5, 18])], rel=1e-5)
    summary = read_table(tmp_path / "out/summary.csv").set_index(["label", "metric"])
    assert summary.loc[("tumor", "dice"), "mean"] == pytest.approx(5 / 9, abs=1e-6)
    assert not (tmp_path / "out/failed.csv").exists()


def test_the_papers_metrics_reach_log_and_trackers(
    cases: list[Case], tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.INFO)
    scores = CaseScores(tmp_path / "out", TUMOR, SCAN, metrics=["dice", "recall", "mean_iou"])
    evaluator = engine(cases, [scores, StatsHandler(iteration_log=False, name="tracker")])
    run_evaluation(evaluator, scores)
    assert evaluator.state.metrics == {
        "tumor_dice": pytest.approx(5 / 9),
        "tumor_recall": pytest.approx(0.5),
        "all_mean_iou": pytest.approx(np.mean([1, (0.5 + 320 / 328) / 2, (0 + 320 / 336) / 2])),
    }
    assert "tumor_dice: 0.5556" in capsys.readouterr().out
    assert "0.556 ± 0.509" in caplog.text
    assert "3 studies scored" in caplog.text


def test_several_labels_have_rows_of_their_own(tmp_path: Path) -> None:
    boxes = np.s_[1:3, 1:3, 1:3], np.s_[4:6, 4:6, 3:5]
    case = {
        "study_id": "knee",
        "image": save(tmp_path / "knee.nii.gz", *boxes),
        "label": save(tmp_path / "label.nii.gz", boxes[0], np.s_[4:7, 4:6, 3:5]),
    }
    scores = CaseScores(tmp_path / "out", {1: "femoral", 2: "tibial"}, SCAN)
    run_evaluation(engine([case], [scores]), scores)
    table = read_table(tmp_path / "out/cases.csv")
    assert table["label"].tolist() == ["femoral", "tibial"]
    assert table["dice"].tolist() == pytest.approx([1, 16 / 20])


def test_a_video_is_scored_frame_by_frame(cases: list[Case], tmp_path: Path) -> None:
    scores = CaseScores(tmp_path / "out", TUMOR, VIDEO)
    run_evaluation(engine(cases, [scores]), scores)
    table = read_table(tmp_path / "out/cases.csv").set_index("study_id")
    assert table["volume_error_ml"].isna().all()
    assert table.loc["missed", "hd_mm"] == pytest.approx(np.hypot(16, 3.5), rel=1e-5)


def test_a_video_of_unknown_pixel_size_has_no_distances_and_the_summary_is_of_the_others(
    cases: list[Case], tmp_path: Path
) -> None:
    silent = nib.load(cases[2]["image"])
    silent.header.set_xyzt_units("unknown")
    nib.save(nib.Nifti1Image(np.asarray(silent.dataobj), silent.affine, silent.header), cases[2]["image"])
    scores = CaseScores(tmp_path / "out", TUMOR, VIDEO, metrics=["hd_mm"])
    run_evaluation(engine(cases, [scores]), scores)
    table = read_table(tmp_path / "out/cases.csv").set_index("study_id")
    assert table.loc["missed", ["hd_mm", "hd95_mm", "assd_mm"]].isna().all()
    assert table["dice"].notna().all()
    summary = read_table(tmp_path / "out/summary.csv").set_index("metric")
    assert summary.loc["hd_mm", "mean"] == pytest.approx(table["hd_mm"].mean())
    assert (summary.loc["hd_mm", "cases"], summary.loc["dice", "cases"].max()) == (2, 3)


def test_a_volume_without_a_unit_is_in_millimetres(cases: list[Case], tmp_path: Path) -> None:
    image = nib.load(cases[2]["image"])
    nib.save(nib.Nifti1Image(np.asarray(image.dataobj), image.affine), cases[2]["image"])
    scores = CaseScores(tmp_path / "out", TUMOR, SCAN)
    run_evaluation(engine(cases, [scores]), scores)
    assert read_table(tmp_path / "out/cases.csv")["hd_mm"].notna().all()


def test_uneven_slices_of_a_sidecar_count_in_the_volume(cases: list[Case], tmp_path: Path) -> None:
    heights_mm = [0.0, 2.0, 4.0, 8.0, 12.0, 15.0]  # the label's slices are 3 and 4 mm thick
    slope, start_mm = np.polyfit(range(6), heights_mm, 1)
    affine = np.diag([2.0, 0.5, slope, 1.0])
    affine[2, 3] = start_mm
    for key in ("image", "label"):
        nib.save(nib.Nifti1Image(np.asarray(nib.load(cases[2][key]).dataobj), affine), cases[2][key])
    sidecar = Path(cases[2]["image"]).with_name("missed.geometry.json")
    sidecar.write_text(json.dumps({"slice_origins_ras_mm": [[0, 0, z] for z in heights_mm]}))
    scores = CaseScores(tmp_path / "out", TUMOR, SCAN)
    run_evaluation(engine(cases[2:], [scores]), scores)
    table = read_table(tmp_path / "out/cases.csv")
    assert table["volume_error_ml"].tolist() == pytest.approx([-8 * (3 + 4) * 1.0 / 1000])


def test_a_broken_study_is_on_record_and_the_others_are_scored(
    cases: list[Case], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    Path(cases[1]["image"]).write_bytes(b"this is no image")
    scores = CaseScores(tmp_path / "out", TUMOR, SCAN)
    with pytest.raises(SystemExit) as ended:
        run_evaluation(engine(cases, [scores]), scores)
    assert ended.value.code == 1
    assert scored_ids(tmp_path / "out") == ["exact", "missed"]
    failed = read_table(tmp_path / "out/failed.csv")
    assert failed["study_id"].tolist() == ["half"]
    assert "half.nii.gz" in failed["reason"][0]
    assert "half failed: half.nii.gz" in caplog.text
    assert read_table(tmp_path / "out/summary.csv")["cases"].eq(2).all()


def test_a_study_on_which_the_network_fails_is_on_record(cases: list[Case], tmp_path: Path) -> None:
    def refuse_empty(image: torch.Tensor) -> torch.Tensor:
        if not image.any():
            raise RuntimeError("an empty image")
        return image * 1

    scores = CaseScores(tmp_path / "out", TUMOR, SCAN)
    with pytest.raises(SystemExit):
        run_evaluation(engine(cases, [scores], refuse_empty), scores)
    assert scored_ids(tmp_path / "out") == ["exact", "half"]
    assert read_table(tmp_path / "out/failed.csv").to_dict("records") == [
        {"study_id": "missed", "reason": "RuntimeError: an empty image"}
    ]


def test_a_mask_that_is_not_on_the_scans_grid_is_on_record(cases: list[Case], tmp_path: Path) -> None:
    scores = CaseScores(tmp_path / "out", TUMOR, SCAN)
    with pytest.raises(SystemExit):
        run_evaluation(engine(cases[:1], [scores], lambda image: image[..., :5] * 1), scores)
    assert scored_ids(tmp_path / "out") == []
    reason = read_table(tmp_path / "out/failed.csv")["reason"][0]
    assert reason == "the prediction's shape is (8, 7, 5), expected its scan's (8, 7, 6)"
    assert len(read_table(tmp_path / "out/summary.csv")) == 0


def test_a_run_that_is_stopped_keeps_what_is_done(
    cases: list[Case], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    scores = CaseScores(tmp_path / "out", TUMOR, SCAN)
    evaluator = engine(cases, [scores])

    @evaluator.on(Events.ITERATION_COMPLETED(once=2))
    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as ended:
        run_evaluation(evaluator, scores)
    assert ended.value.code == 130
    assert scored_ids(tmp_path / "out") == ["exact", "half"]
    assert not (tmp_path / "out/summary.csv").exists()
    assert str(tmp_path / "out") in caplog.records[-1].message


def test_a_second_run_replaces_the_tables_of_the_first(cases: list[Case], tmp_path: Path) -> None:
    good = Path(cases[0]["image"]).read_bytes()
    Path(cases[0]["image"]).write_bytes(b"")
    scores = CaseScores(tmp_path / "out", TUMOR, SCAN)
    with pytest.raises(SystemExit):
        run_evaluation(engine(cases, [scores]), scores)
    Path(cases[0]["image"]).write_bytes(good)
    evaluator = engine(cases[:2], [scores])
    for _ in range(2):  # as a validator or a federated client runs again and again
        run_evaluation(evaluator, scores)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["cases.csv", "summary.csv"]
    assert scored_ids(tmp_path / "out") == ["exact", "half"]


@pytest.mark.parametrize("batch_size", [1, 3])
def test_cases_without_an_id_are_called_by_their_files(cases: list[Case], tmp_path: Path, batch_size: int) -> None:
    twin = tmp_path / "exact.nii.gz"
    twin.write_bytes(Path(cases[0]["image"]).read_bytes())
    cases = [*cases, cases[0] | {"image": str(twin)}]
    anonymous = [{key: case[key] for key in ("image", "label")} for case in cases]
    scores = CaseScores(tmp_path / "out", TUMOR, SCAN)
    run_evaluation(engine(anonymous, [scores], dataset=Dataset, batch_size=batch_size), scores)
    assert scored_ids(tmp_path / "out") == ["exact", "half", "missed", str(twin)]


def test_a_run_in_which_no_study_could_be_scored_is_no_success(tmp_path: Path) -> None:
    scores = CaseScores(tmp_path / "out", TUMOR, SCAN)
    evaluator = engine([{"study_id": "none", "image": str(tmp_path / "none.nii"), "label": ""}], [scores])
    with pytest.raises(SystemExit) as ended:
        run_evaluation(evaluator, scores)
    assert ended.value.code == 1
    assert scored_ids(tmp_path / "out") == []


def test_trackers_keep_no_means_of_an_earlier_run(cases: list[Case], tmp_path: Path) -> None:
    scores = CaseScores(tmp_path / "out", TUMOR, SCAN)
    evaluator = engine(cases, [scores])
    evaluator.state.metrics["of another"] = 3.0
    run_evaluation(evaluator, scores)
    for case in cases:
        Path(case["label"]).unlink()
    with pytest.raises(SystemExit):
        run_evaluation(evaluator, scores)
    assert evaluator.state.metrics == {"of another": 3.0}


def test_a_metric_that_does_not_exist_is_named_with_the_choice(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no dcie; choose from .*dice"):
        CaseScores(tmp_path, TUMOR, SCAN, metrics=["dice", "dcie"])
    assert CaseScores(tmp_path, TUMOR, SCAN, metrics="recall").metrics == ("recall",)
