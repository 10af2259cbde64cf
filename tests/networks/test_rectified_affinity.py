import pytest
import torch

from sliceweave.networks import rectified_affinity as module
from sliceweave.networks.rectified_affinity import affinity_sums, rectified_affinity


def inputs(queries: int, keys: int, dtype: torch.dtype = torch.float64) -> list[torch.Tensor]:
    torch.manual_seed(0)
    shapes = [(2, 3, queries), (2, 3, keys), (2, 4, keys)]
    return [torch.randn(shape, dtype=dtype, requires_grad=True) for shape in shapes]


def dense(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    return value @ torch.relu(key.mT @ query)


@pytest.fixture(params=[1024, 5, 1])
def tile(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks larger than the map, blocks that do not divide it, and single pixels."""
    monkeypatch.setattr(module, "tile_size", lambda _: request.param)


@pytest.mark.usefixtures("tile")
@pytest.mark.parametrize(("queries", "keys"), [(13, 13), (13, 7), (1, 1)])
def test_blocks_give_the_dense_formula(queries: int, keys: int) -> None:
    q, k, v = inputs(queries, keys)
    torch.testing.assert_close(rectified_affinity(q, k, v), dense(q, k, v), rtol=0, atol=1e-12)


@pytest.mark.usefixtures("tile")
def test_the_gradient_is_the_dense_formulas() -> None:
    tensors = inputs(13, 7)
    weight = torch.randn(2, 4, 13, dtype=torch.float64)
    blocked = torch.autograd.grad((rectified_affinity(*tensors) * weight).sum(), tensors)
    whole = torch.autograd.grad((dense(*tensors) * weight).sum(), tensors)
    for ours, expected in zip(blocked, whole, strict=True):
        torch.testing.assert_close(ours, expected, rtol=0, atol=1e-12)


@pytest.mark.usefixtures("tile")
def test_the_gradient_passes_gradcheck() -> None:
    assert torch.autograd.gradcheck(rectified_affinity, inputs(7, 6))


def test_half_precision_is_summed_in_float32() -> None:
    q, k, v = inputs(9, 3000, torch.bfloat16)
    sums = affinity_sums(q, k, v)
    assert sums.dtype == torch.float32
    exact = dense(q.float(), k.float(), v.float())
    assert (sums - exact).abs().max() < 0.02 * exact.abs().max()


def test_memory_grows_linearly_forward_and_backward() -> None:
    """An affinity matrix of 6,144 pixels alone would be 151 MB."""
    q = torch.nn.functional.normalize(torch.randn(1, 8, 6144), dim=1).requires_grad_()
    v = torch.rand(1, 17, 6144, requires_grad=True)
    with torch.profiler.profile(profile_memory=True) as profile:
        rectified_affinity(q, q, v).sum().backward()
    assert max(abs(event.cpu_memory_usage) for event in profile.events()) < 50e6
    held = torch.cumsum(torch.tensor([event.self_cpu_memory_usage for event in profile.events()]), 0)
    assert held.max() < 50e6


def test_what_is_too_large_to_be_written_down_block_by_block_is_not_traced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "tile_size", lambda _: 2)
    small, large = (tuple(x.detach() for x in inputs(n, n)) for n in (22, 24))
    traced = torch.jit.trace(affinity_sums, small)
    torch.testing.assert_close(traced(*small), dense(*small), rtol=0, atol=1e-12)
    with pytest.raises(RuntimeError, match="144 blocks of affinities are too many to trace, 128 at most"):
        torch.jit.trace(affinity_sums, large)
