from pathlib import Path

import numpy as np
import pytest
from drawn import Drawn
from miniature_volumes import SHAPE, numbers, save
from typer.testing import CliRunner, Result

from sliceweave.pipelines.cli import app
from sliceweave.pipelines.errors import InputError

CASES = 'study_id,label,dice\n"\'=a<b&""",hematoma,0.5\n007,hematoma,0.7\n'


def call(*arguments: str | Path) -> Result:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if isinstance(result.exception, InputError):
        raise result.exception
    return result


def test_figures_reads_tables_and_folders_of_them(tmp_path: Path) -> None:
    (tmp_path / "unet").mkdir()
    (tmp_path / "unet" / "cases.csv").write_text(CASES)
    (tmp_path / "other.csv").write_text(CASES)
    done = call("figures", tmp_path / "unet", f"Ours={tmp_path / 'other.csv'}", "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert "2 files in" in done.output
    assert {"unet", "Ours", "Dice"} <= set(Drawn(tmp_path / "out" / "dice.svg").texts)


@pytest.mark.parametrize(
    ("table", "further", "words"),
    [
        (CASES, ["--metrics", "dice,nonsense"], "--metrics: no table has the column nonsense; choose from dice"),
        (CASES.replace("dice", "score"), [], "nothing to draw: expected numbers under volume_ml"),
        ("study_id,label,dice\n", [], "the table holds no cases"),
        ("study_id,label,dice\na,,0.5\n", [], "expected a label in some row of the tables, got none"),
        ("case,dice\na,1\n", [], "expected the columns study_id,label"),
        ("", [], "expected a CSV table"),
    ],
)
def test_figures_of_unusable_tables_are_a_clear_error(
    tmp_path: Path, table: str, further: list[str], words: str
) -> None:
    (tmp_path / "cases.csv").write_text(table)
    with pytest.raises(InputError, match=words):
        call("figures", f"A={tmp_path / 'cases.csv'}", "--out", tmp_path / "out", *further)


def test_figures_of_an_empty_folder_are_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"expected cases.csv or volumes.csv in the folder"):
        call("figures", f"A={tmp_path}", "--out", tmp_path / "out")


def test_contours_draws_the_studies_and_slices_asked_for(tmp_path: Path) -> None:
    for name in ("a", "b"):
        image, label = numbers(1, 2)
        save(tmp_path / "images" / f"{name}.nii.gz", image)
        save(tmp_path / "labels" / f"{name}.nii.gz", label)
        save(tmp_path / "unet" / f"{name}_mask.nii.gz", label)
    shared = ["contours", tmp_path / "labels", "--image", tmp_path / "images", "--models", f"U-Net={tmp_path / 'unet'}"]
    done = call(*shared, "--studies", "b", "--slices", "1,4", "--window", "-100,100", "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    texts = Drawn(tmp_path / "out" / "contours_1.svg").texts
    assert [text for text in texts if "slice" in text] == ["b · slice 1", "b · slice 4"]
    save(tmp_path / "unet" / "a_mask.nii.gz", np.zeros((3, 3, 3), np.uint8))
    assert call(*shared, "--task", "hematoma", "--out", tmp_path / "out").exit_code == 1
    with pytest.raises(InputError, match=r"no study could be drawn; the first: .*a_mask"):
        call(*shared, "--studies", "a", "--out", tmp_path / "out")
    with pytest.raises(InputError, match=r"--slices is auto or INDEX,"):
        call(*shared, "--slices", "1;2", "--out", tmp_path / "out")
    with pytest.raises(InputError, match="holds no study"):
        call(*shared[:3], tmp_path / "out", *shared[4:], "--out", tmp_path / "out")
    assert SHAPE[2] > 4


def test_curves_without_a_training_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected the output folder of a training"):
        call("curves", f"a={tmp_path}", "--out", tmp_path / "out")
