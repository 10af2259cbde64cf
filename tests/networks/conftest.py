from collections.abc import Callable

import pytest
import torch


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def sizes_seen(net: torch.nn.Module, image: torch.Tensor) -> dict[str, tuple[int, ...]]:
    """Channels and size of what every module by name gives for an image, in evaluation mode; on the meta device."""
    seen: dict[str, tuple[int, ...]] = {}

    def watch(name: str) -> Callable[..., None]:
        def note(_module: torch.nn.Module, _inputs: object, out: object) -> None:
            if isinstance(out, torch.Tensor):
                seen[name] = tuple(out.shape[1:])

        return note

    for name, module in net.named_modules():
        module.register_forward_hook(watch(name))
    with torch.no_grad():
        net.to("meta").eval()(image.to("meta"))
    return seen


@pytest.fixture
def sizes() -> Callable[[torch.nn.Module, torch.Tensor], dict[str, tuple[int, ...]]]:
    return sizes_seen
