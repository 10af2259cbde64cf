"""Input kinds and small lesions in the hematoma bundle: its options reach every stage."""

from pathlib import Path
from typing import Any

import pytest
from bundle_runs import config_files
from monai.bundle import ConfigParser
from monai.transforms import Compose, Orientationd

from sliceweave.pipelines.bundles import bundle_root
from sliceweave.pipelines.errors import InputError, input_error_in
from sliceweave.pipelines.small_lesions import DropSmallLesionsd
from sliceweave.transforms import (
    HeadHUd,
    KeepSureLesionsd,
    MarkBoned,
    NoBloodInBoned,
    NoBloodInNeckd,
    SliceScoresd,
    WindowHUd,
)

CHAINS = {
    "inference": (["inference"], "preprocessing"),
    "evaluation": (["train", "evaluate"], "validate::preprocessing"),
    "training": (["train"], "train::preprocessing"),
    "validation": (["train"], "validate::preprocessing"),
}
CLEANED = {
    "inference": (["inference"], "postprocessing"),
    "evaluation": (["train", "evaluate"], "validate::postprocessing"),
}


def parsed(stages: list[str], content: str, **options: object) -> Any:
    """What a bundle's stages make of one of their entries."""
    root = bundle_root("hematoma")
    parser = ConfigParser()
    parser.read_config(config_files("hematoma", stages))
    parser.read_meta(root / "configs/metadata.json")
    parser.update({"bundle_root": str(root), **options})
    return parser.get_parsed_content(content)


def steps(chain: Compose) -> list[Any]:
    return list(chain.flatten().transforms)


@pytest.mark.parametrize("stage", CHAINS)
def test_every_stage_takes_a_head_to_hu_before_its_window(stage: str) -> None:
    stages, name = CHAINS[stage]
    kinds = [type(step) for step in steps(parsed(stages, name))]
    assert kinds.count(HeadHUd) == kinds.count(WindowHUd) == 1
    assert kinds.index(HeadHUd) < kinds.index(WindowHUd)


@pytest.mark.parametrize("typed", [(-20, 100), [-20, 100], "-20,100"])
@pytest.mark.parametrize("stage", CHAINS)
def test_an_override_reaches_every_stage_and_the_pictures(stage: str, typed: object) -> None:
    stages, name = CHAINS[stage]
    (to_hu,) = [s for s in steps(parsed(stages, name, override_intensity=typed)) if isinstance(s, HeadHUd)]
    assert to_hu.transform.override == (-20.0, 100.0)
    assert parsed(stages, "study_kind", override_intensity=typed).grey_window == (-20.0, 100.0)


@pytest.mark.parametrize("stage", CHAINS)
def test_an_override_that_is_none_is_one_clear_line(stage: str) -> None:
    stages, name = CHAINS[stage]
    with pytest.raises(RuntimeError, match="instantiat") as raised:
        parsed(stages, name, override_intensity="brain")
    assert isinstance(found := input_error_in(raised.value), InputError)
    assert "--override_intensity is LOW,HIGH in HU" in str(found)


@pytest.mark.parametrize("stage", CLEANED)
def test_masks_lose_small_lesions_after_the_threshold_on_the_scans_own_grid(stage: str) -> None:
    stages, name = CLEANED[stage]
    chain = steps(parsed(stages, name, min_lesion_ml=0.3))
    assert isinstance(chain[-1], DropSmallLesionsd)
    assert chain[-1].min_lesion_ml == 0.3
    assert isinstance(chain[-2], NoBloodInBoned)
    names = [type(step).__name__ for step in chain]
    assert names[-4:-2] == ["Invertd", "AsDiscreted"] or names[-3] == "MaskOnScand"  # which inverts and decides


@pytest.mark.parametrize("stage", CHAINS)
def test_bone_is_marked_before_the_scan_is_turned(stage: str) -> None:
    stages, name = CHAINS[stage]
    chain = steps(parsed(stages, name, override_intensity=(0, 80)))
    kinds = [type(step) for step in chain]
    assert kinds.index(MarkBoned) < kinds.index(Orientationd)
    assert chain[kinds.index(MarkBoned)].override == (0.0, 80.0)


@pytest.mark.parametrize("stage", CLEANED)
def test_blood_in_the_neck_and_lesions_of_which_nothing_is_sure_go_before_the_threshold(stage: str) -> None:
    stages, name = CLEANED[stage]
    _, neck, *scores, asked = steps(parsed(stages, name, sure=0.7, threshold=0.3))[: 4 if stage == "inference" else 3]
    assert isinstance(neck, NoBloodInNeckd)
    assert [type(step) for step in scores] == ([SliceScoresd] if stage == "inference" else [])
    assert isinstance(asked, KeepSureLesionsd)
    assert (asked.transform.threshold, asked.transform.sure) == (0.3, 0.7)


def test_only_the_shipped_weights_decide_as_suits_them(tmp_path: Path) -> None:
    copied, other = tmp_path / "copied.pt", tmp_path / "other.pt"
    copied.write_bytes((bundle_root("hematoma") / "models/model.pt").read_bytes())
    other.write_bytes(b"others")
    decided = [
        [parsed(["inference"], name, **typed) for name in ("threshold", "sure")]
        for typed in ({}, {"checkpoint": str(copied)}, {"checkpoint": str(other)}, {"sure": 0.6, "threshold": 0.4})
    ]
    assert decided == [[0.2, 0.9], [0.2, 0.9], [0.5, 0], [0.4, 0.6]]


def test_another_override_smallest_lesion_or_certainty_is_another_model_version() -> None:
    options: list[dict[str, object]] = [
        {},
        {"override_intensity": [-20, 100]},
        {"override_intensity": [0, 80]},
        {"min_lesion_ml": 0.1},
        {"sure": 0.99},
    ]
    versions = [parsed(["inference"], "model", **chosen).version for chosen in options]
    assert len(set(versions)) == len(options)
    typed = parsed(["inference"], "model", override_intensity="-20,100").version
    assert typed == versions[1]
