import os
import re
import subprocess
import sys

import numpy as np
import pytest
import torch
from numpy_layers import conv, conv_norm, excited, relu, weights

from sliceweave.networks import LGNet
from sliceweave.networks.lg_net import MultiLevelResidual

NARROW = (4, 6, 8, 10, 12)


@pytest.mark.parametrize(("spatial_dims", "expected"), [(2, 82_928_981), (3, 243_228_605)])
def test_parameter_counts_are_pinned(spatial_dims: int, expected: int) -> None:
    with torch.device("meta"):
        assert sum(p.numel() for p in LGNet(spatial_dims, 1, 1).parameters()) == expected


@pytest.mark.parametrize("size", [(5, 6), (3, 4, 5)])
def test_multi_level_residual_follows_figure_4(size: tuple[int, ...]) -> None:
    module, x = excited(MultiLevelResidual(len(size), 3, 4)), torch.randn(1, 3, *size, dtype=torch.float64)
    w, image, results = weights(module), x[0].numpy(), []
    for unit in range(3):
        trunk = relu(conv_norm(image, w, f"units.{unit}.trunk"))
        image = trunk + conv_norm(image, w, f"units.{unit}.shortcut")
        results.append(image)
    np.testing.assert_allclose(module(x)[0].detach(), conv(np.concatenate(results), w, "fuse"), atol=1e-9)


def test_parts_build_just_their_modules() -> None:
    def built(parts: tuple[str, ...]) -> dict[str, int]:
        names = [type(m).__name__ for m in LGNet(2, 1, 1, NARROW, parts).modules()]
        return {name: names.count(name) for name in ("MultiLevelResidual", "LGAttention", "FeatureFusion", "RSE")}

    assert list(built(()).values()) == [0, 0, 0, 0]
    assert list(built(("MLR",)).values()) == [5, 0, 0, 0]
    assert list(built(("LGA",)).values()) == [0, 4, 0, 0]
    assert list(built(("FF",)).values()) == [0, 0, 4, 0]
    assert list(built(("FF", "RSE")).values()) == [0, 0, 4, 8]
    assert list(built(("MLR", "LGA", "FF", "RSE")).values()) == [5, 4, 4, 8]


def test_attention_in_3d_stands_on_the_two_deepest_skips_with_pooled_keys() -> None:
    def poolings(net: LGNet) -> list[int]:
        return [getattr(getattr(s.joint.attention, "pcm", None), "key_pooling", 0) for s in reversed(net.u.decoder)]

    assert poolings(LGNet(2, 1, 1, NARROW)) == [1, 1, 1, 1]
    assert poolings(LGNet(3, 1, 1, NARROW)) == [0, 0, 2, 2]
    assert poolings(LGNet(2, 1, 1, NARROW, key_pooling=(8, 4, 1, 0))) == [8, 4, 1, 0]


@pytest.mark.parametrize("poolings", [(2, 2), (1, 1, -1, 1), (1, 1.5, 1, 1)])
def test_key_pooling_wants_one_whole_number_for_each_skip(poolings: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="key_pooling: expected 4 whole numbers, one for each skip, got "):
        LGNet(2, 1, 1, NARROW, key_pooling=poolings)


def test_rse_without_feature_fusion_is_refused() -> None:
    with pytest.raises(ValueError, match="parts: RSE stands within FF, choose both or leave it out"):
        LGNet(2, 1, 1, NARROW, parts=("MLR", "RSE"))


@pytest.mark.slow
def test_the_papers_preset_never_holds_an_affinity_matrix() -> None:
    """One of the top level would be 17 GB here, and 275 GB at the paper's 512, which takes five minutes on one core."""
    code = (
        "import torch; from sliceweave.networks import LGNet\n"
        "with torch.inference_mode():\n"
        "    logits = LGNet(2, 1, 1).eval()(torch.rand(1, 1, 256, 256))\n"
        "assert logits.shape == (1, 1, 256, 256) and logits.isfinite().all()\n"
        "print(open('/proc/self/status').read())"
    )
    if not os.path.exists("/proc/self/status"):
        pytest.skip("peak memory is read from /proc")
    status = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    peak = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert peak is not None
    assert int(peak[1]) * 1024 < 2e9
