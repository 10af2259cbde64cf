"""What each of several processes trains on, and how they talk."""

import pytest
import torch

from sliceweave.pipelines.processes import join, own_device, rank, world_size


def test_a_process_alone_is_the_first_of_one() -> None:
    assert (rank(), world_size()) == (0, 1)


def test_a_processes_device_is_counted_on_its_own_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for name, value in {"RANK": "5", "LOCAL_RANK": "1", "WORLD_SIZE": "8"}.items():  # the second of the second machine
        monkeypatch.setenv(name, value)
    assert own_device() == torch.device("cuda", 1)


def test_without_cuda_a_process_trains_on_the_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert own_device() == torch.device("cpu")


@pytest.mark.parametrize(
    ("device", "backend", "made_current"), [("cpu", "gloo", []), ("cuda:1", "nccl", [torch.device("cuda", 1)])]
)
def test_processes_talk_as_their_device_wants(
    device: str, backend: str, made_current: list[torch.device], monkeypatch: pytest.MonkeyPatch
) -> None:
    backends: list[str] = []
    current: list[torch.device] = []
    monkeypatch.setattr(torch.distributed, "init_process_group", backends.append)
    monkeypatch.setattr(torch.cuda, "set_device", current.append)
    join(device)
    assert (backends, current) == ([backend], made_current)
