"""What every transform must do: one loop over all of them."""

import pickle

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Compose, Invertd, Orientationd, Transform

from sliceweave.transforms import (
    CLAHE,
    AdjacentSlices,
    AdjacentSlicesd,
    CLAHEd,
    HeadHU,
    HeadHUd,
    MedianDenoise,
    MedianDenoised,
    WindowHU,
    WindowHUd,
)

PAIRS = [
    (HeadHU((-20, 100)), HeadHUd("image", (-20, 100))),
    (WindowHU("head"), WindowHUd("image", "head")),
    (CLAHE(tiles=2), CLAHEd("image", tiles=2)),
    (MedianDenoise(5), MedianDenoised("image", 5)),
    (AdjacentSlices(3), AdjacentSlicesd("image", 3)),
]
AFFINE = torch.tensor([[-0.5, 0, 0, 9], [0, 0.7, 0, -8], [0, 0.1, 5, 7], [0, 0, 0, 1]], dtype=torch.float64)


def volume() -> MetaTensor:
    generator = torch.Generator().manual_seed(0)
    return MetaTensor(torch.rand(1, 20, 24, 6, generator=generator), affine=AFFINE, meta={"filename_or_obj": "a.nii"})


@pytest.mark.parametrize(("array", "dictionary"), PAIRS)
def test_the_dictionary_twin_does_what_the_array_transform_does(array: Transform, dictionary: Transform) -> None:
    result = dictionary({"image": volume(), "other": 1})
    torch.testing.assert_close(result["image"], array(volume()), rtol=0, atol=0)
    assert result["other"] == 1


@pytest.mark.parametrize(("array", "_"), PAIRS)
def test_metadata_and_history_are_kept_and_the_input_is_not_changed(array: Transform, _: Transform) -> None:
    image = Orientationd("image", "RAS", labels=None)({"image": volume()})["image"]
    before = image.clone()
    result = array(image)
    assert isinstance(result, MetaTensor)
    torch.testing.assert_close(result.affine, image.affine)
    assert result.meta["filename_or_obj"] == "a.nii"
    assert result.applied_operations == image.applied_operations
    torch.testing.assert_close(image, before, rtol=0, atol=0)


@pytest.mark.parametrize(("_", "dictionary"), PAIRS)
def test_a_chain_with_it_can_be_inverted_onto_the_scan(_: Transform, dictionary: Transform) -> None:
    chain = Compose([Orientationd("image", "RAS", labels=None), dictionary])
    case = chain({"image": volume()})
    case["pred"] = MetaTensor(case["image"][:1] * 0 + 1, meta=case["image"].meta)
    inverted = Invertd("pred", chain, orig_keys="image", nearest_interp=False)(case)["pred"]
    assert inverted.shape == volume().shape
    torch.testing.assert_close(inverted.affine, AFFINE)


@pytest.mark.parametrize(("array", "_"), PAIRS)
def test_numpy_and_integer_input_give_float32_tensors(array: Transform, _: Transform) -> None:
    image = np.random.default_rng(0).integers(0, 2, (1, 12, 10, 4), dtype=np.int16)
    result = array(image if not isinstance(array, AdjacentSlices) else image.astype(np.float32))
    assert torch.is_tensor(result)
    assert result.dtype == torch.float32


@pytest.mark.parametrize(("array", "dictionary"), PAIRS)
def test_transforms_travel_to_worker_processes(array: Transform, dictionary: Transform) -> None:
    torch.testing.assert_close(pickle.loads(pickle.dumps(array))(volume()), array(volume()))
    pickle.loads(pickle.dumps(dictionary))({"image": volume()})


def test_a_missing_key_is_an_error_unless_allowed() -> None:
    with pytest.raises(KeyError):
        WindowHUd("label", "head")({"image": volume()})
    assert "label" not in WindowHUd("label", "head", allow_missing_keys=True)({"image": volume()})
