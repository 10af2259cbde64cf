from pathlib import Path

import pytest
import torch
from ignite.engine import Events
from monai.engines import SupervisedEvaluator, SupervisedTrainer
from torch import nn

from sliceweave.networks import SelfAttentionUNet
from sliceweave.pipelines.checkpoints import (
    BestWeights,
    TrainingState,
    declare,
    declared_settings,
    fingerprint,
    for_training,
    load_weights,
    on_device,
    save_atomically,
)
from sliceweave.pipelines.errors import InputError

WIDTHS = (4, 8)


def test_weights_come_back(tmp_path: Path) -> None:
    saved = SelfAttentionUNet(2, 1, 1, WIDTHS)
    save_atomically(saved.state_dict(), tmp_path / "deep/er/model.pt")
    loaded = load_weights(SelfAttentionUNet(2, 1, 1, WIDTHS), str(tmp_path / "deep/er/model.pt"))
    assert all(
        torch.equal(a, b) for a, b in zip(saved.state_dict().values(), loaded.state_dict().values(), strict=True)
    )
    assert [path.name for path in (tmp_path / "deep/er").iterdir()] == ["model.pt"]


def test_a_place_where_nothing_can_be_written_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"^cannot use .*file/out: Not a directory; choose another folder$"):
        save_atomically({}, tmp_path / "file/out/model.pt")


def complaint(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        load_weights(SelfAttentionUNet(2, 1, 1, WIDTHS), str(path))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_missing_weights_are_one_clear_line(tmp_path: Path) -> None:
    assert complaint(tmp_path / "none.pt").endswith(
        "none.pt: no weights there: train them, name another file, or the bundle with --bundle_root"
    )


def test_weights_of_another_shape_are_one_clear_line(tmp_path: Path) -> None:
    save_atomically(SelfAttentionUNet(2, 3, 1, WIDTHS).state_dict(), tmp_path / "slab3.pt")
    assert "not the weights of this SelfAttentionUNet (widths, slab?)" in complaint(tmp_path / "slab3.pt")
    assert "size mismatch" in complaint(tmp_path / "slab3.pt")


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04broken"])
def test_damaged_weights_are_one_clear_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.pt").write_bytes(content)
    assert "expected a state_dict of tensors in .pt or .safetensors" in complaint(tmp_path / "bad.pt")


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_weights_that_are_no_numbers_are_one_clear_line(tmp_path: Path, value: float) -> None:
    state = SelfAttentionUNet(2, 1, 1, WIDTHS).state_dict()
    next(iter(state.values())).view(-1)[0] = value
    save_atomically(state, tmp_path / "diverged.pt")
    assert "diverged.pt: holds weights that are NaN or infinite" in complaint(tmp_path / "diverged.pt")


SETTINGS = {"spatial_dims": 2, "slab": 3, "widths": [4, 8], "plane_size": [32, 32]}


@pytest.fixture
def declared(tmp_path: Path) -> str:
    """Weights of a 2.5D network that say so."""
    save_atomically(declare(SelfAttentionUNet(2, 3, 1, WIDTHS).state_dict(), SETTINGS), tmp_path / "declared.pt")
    return str(tmp_path / "declared.pt")


def test_weights_say_what_they_were_made_for_and_are_plain_tensors_still(declared: str) -> None:
    state = torch.load(declared, weights_only=True)
    assert declared_settings(state) == SETTINGS
    assert all(torch.is_tensor(value) for value in state.values())
    assert declared_settings(SelfAttentionUNet(2, 3, 1, WIDTHS).state_dict()) == {}
    SelfAttentionUNet(2, 3, 1, WIDTHS).load_state_dict(state, strict=True)


@pytest.mark.parametrize(
    ("ours", "mode"), [({"slab": 1}, "2d"), ({"spatial_dims": 3, "slab": 1}, "3d"), ({"spatial_dims": 3}, "3d")]
)
def test_weights_of_another_mode_are_refused_by_name(declared: str, ours: dict[str, int], mode: str) -> None:
    with pytest.raises(InputError, match=f"weights for mode 2.5d, but this run is {mode}: merge 2.5d.yaml"):
        load_weights(SelfAttentionUNet(2, 3, 1, WIDTHS), declared, settings=SETTINGS | ours)


def test_weights_of_other_widths_say_what_to_pass(declared: str) -> None:
    with pytest.raises(InputError, match=r'they were made with --widths "\[4, 8\]": '):
        load_weights(SelfAttentionUNet(2, 3, 1, (4, 16)), declared, settings=SETTINGS | {"widths": [4, 16]})


def test_another_plane_is_allowed_and_said(declared: str, caplog: pytest.LogCaptureFixture) -> None:
    load_weights(SelfAttentionUNet(2, 3, 1, WIDTHS), declared, settings=SETTINGS | {"plane_size": [64, 64]})
    assert 'was trained with --plane_size "[32, 32]"; this run goes on with other values' in caplog.text


def test_weights_of_single_slices_begin_a_network_of_slabs_that_sees_the_middle_slice(tmp_path: Path) -> None:
    single, path = SelfAttentionUNet(2, 1, 1, WIDTHS), tmp_path / "model.pt"
    save_atomically(declare(single.state_dict(), SETTINGS | {"slab": 1}), path)
    slabs = for_training(SelfAttentionUNet(2, 3, 1, WIDTHS), "cpu", str(path), SETTINGS | {"slab": 3})
    image = torch.rand(2, 3, 16, 16)
    assert torch.allclose(slabs.eval()(image), single.eval()(image[:, 1:2]), atol=1e-5)
    with pytest.raises(InputError, match=r"weights for mode 2d, but this run is 2\.5d"):
        load_weights(SelfAttentionUNet(2, 3, 1, WIDTHS), str(path), settings=SETTINGS | {"slab": 3})
    with pytest.raises(InputError, match="not the weights of this SelfAttentionUNet"):
        for_training(SelfAttentionUNet(2, 3, 1, (4, 16)), "cpu", str(path), SETTINGS | {"slab": 3})


def test_weights_that_say_nothing_are_judged_by_their_shapes(tmp_path: Path) -> None:
    saved, path = SelfAttentionUNet(2, 3, 1, WIDTHS), tmp_path / "silent.pt"
    save_atomically(saved.state_dict(), path)
    settings = {"spatial_dims": 2, "slab": 1}
    loaded = load_weights(SelfAttentionUNet(2, 3, 1, WIDTHS), str(path), settings=settings)
    assert all(torch.equal(value, loaded.state_dict()[name]) for name, value in saved.state_dict().items())
    with pytest.raises(InputError, match="not the weights of this SelfAttentionUNet"):
        load_weights(SelfAttentionUNet(2, 1, 1, WIDTHS), str(path), settings=settings)


def test_pickled_code_is_not_run(tmp_path: Path) -> None:
    torch.save({"u": Path("anything that is no tensor")}, tmp_path / "evil.pt")
    assert "not the weights" in complaint(tmp_path / "evil.pt")


def test_the_fingerprint_tells_weights_apart(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(name.encode())
    assert fingerprint(str(tmp_path / "a")) != fingerprint(str(tmp_path / "b"))
    assert len(fingerprint(str(tmp_path / "a"))) == 8
    assert fingerprint(str(tmp_path / "a"), {"threshold": 0.4}) != fingerprint(str(tmp_path / "a"), {"threshold": 0.5})
    assert fingerprint(str(tmp_path / "c")) == "none"


def test_a_device_that_is_not_there_is_one_clear_line() -> None:
    for device in ("banana", "cuda:77"):
        with pytest.raises(InputError, match=f"--device {device}: not to be used here: .*; try cpu"):
            on_device(nn.Linear(1, 1), device)


def validator_with(scores: list[float], network: nn.Module, path: Path) -> SupervisedEvaluator:
    """An evaluation engine whose key metric takes the given values, one a run."""
    engine = SupervisedEvaluator(torch.device("cpu"), [None], network, iteration_update=lambda *_: None)

    @engine.on(Events.EPOCH_COMPLETED)
    def note(engine: SupervisedEvaluator) -> None:
        score = scores[engine.state.epoch - 1]
        if score > engine.state.best_metric:
            engine.state.best_metric, engine.state.best_metric_epoch = score, engine.state.epoch

    BestWeights(network, str(path)).attach(engine)
    return engine


def trainer_with(
    network: nn.Module, path: Path, scores: list[float], resume: bool = False, steps: int = 1, **settings: object
) -> SupervisedTrainer:
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    validator = validator_with(scores, network, path / "model.pt")
    objects = {"network": network, "optimizer": optimizer}
    state = TrainingState(str(path / "last.pt"), objects, validator, resume, [{"widths": [2, 4]}, settings])
    batches = [{"image": torch.ones(1, 2), "label": torch.zeros(1, 1)}] * steps
    trainer = SupervisedTrainer(
        torch.device("cpu"), len(scores), batches, network, optimizer, nn.MSELoss(), train_handlers=[state]
    )
    trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda engine: validator.run(engine.state.epoch))
    return trainer


def test_the_best_weights_are_kept_not_the_last(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = nn.Linear(2, 1)
    trainer_with(network, tmp_path, [0.5, 0.9, 0.1]).run()
    best = torch.load(tmp_path / "model.pt", weights_only=True)
    assert not torch.equal(best["weight"], network.weight)


def test_a_state_of_another_network_is_one_clear_line(tmp_path: Path) -> None:
    trainer_with(nn.Linear(2, 1), tmp_path, [0.5]).run()
    other = trainer_with(nn.Linear(2, 1, bias=False), tmp_path, [0.5, 0.6], resume=True)
    with pytest.raises(InputError, match=r"last.pt: not a training of this configuration, cannot resume"):
        other.run()


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"steps": 3}, "steps in an epoch was 2, is 3"),
        ({"steps": 2, "batch_size": 4}, "batch_size was 2, is 4"),
        ({"steps": 2, "batch_size": 2, "seed": 1}, "seed was None, is 1"),
    ],
)
def test_what_a_resumed_training_would_silently_keep_is_refused(
    tmp_path: Path, changed: dict[str, int], words: str
) -> None:
    trainer_with(nn.Linear(2, 1), tmp_path, [0.5], steps=2, batch_size=2).run()
    with pytest.raises(InputError, match=f"cannot resume: .*{words}.*another --output_dir"):
        trainer_with(nn.Linear(2, 1), tmp_path, [0.5, 0.6], resume=True, **changed).run()
    longer = trainer_with(nn.Linear(2, 1), tmp_path, [0.5, 0.6, 0.7], resume=True, steps=2, batch_size=2)
    longer.run()
    assert longer.state.iteration == 3 * 2


def test_a_state_that_is_damaged_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "last.pt").write_bytes(b"no state")
    with pytest.raises(InputError, match=r"last.pt: not a training of this configuration, cannot resume"):
        trainer_with(nn.Linear(2, 1), tmp_path, [0.5], resume=True).run()


def test_a_resumed_training_continues_as_if_never_stopped(tmp_path: Path) -> None:
    networks = []
    for name, stages in (("whole", [4]), ("parts", [2, 4])):
        torch.manual_seed(0)
        (tmp_path / name).mkdir()
        for epochs in stages:
            network = nn.Linear(2, 1)
            trainer_with(network, tmp_path / name, [0.9, 0.5, 0.6, 0.7][:epochs], resume=True).run()
            torch.manual_seed(1)  # a new process starts from other weights
        networks.append(network)
    assert torch.equal(networks[0].weight, networks[1].weight)
    best = [torch.load(tmp_path / name / "model.pt", weights_only=True)["weight"] for name in ("whole", "parts")]
    assert torch.equal(*best)  # the first epoch's, though the second run never saw a score above 0.7
