"""Training without overrides is what the papers print: network, loss, optimiser, learning rate, batch, epochs, size."""

from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from bundle_runs import every_bundle, workflow
from monai.losses import DeepSupervisionLoss, DiceCELoss
from torch import nn

from sliceweave.networks import EASUNet, InceptionResUNet, LGNet, RAUNet, SelfAttentionUNet
from sliceweave.networks.losses import BothClassesDiceFocalLoss


@dataclass(frozen=True)
class Preset:
    """What a paper says of its training."""

    network: type[nn.Module]
    loss: type[nn.Module]
    optimizer: type[torch.optim.Optimizer]
    learning_rate: float
    batch_size: int
    epochs: int
    plane_size: int
    metrics: set[str]
    optimizer_options: dict[str, float] = field(default_factory=dict)


PAPERS = {
    "hematoma": Preset(
        SelfAttentionUNet, nn.BCEWithLogitsLoss, torch.optim.RMSprop, 1e-4, 2, 50, 512,
        {"abs_rvd", "dice", "iou", "volume_rmse_ml", "abs_volume_error_ml"},
    ),
    "lung_infection": Preset(
        LGNet, BothClassesDiceFocalLoss, torch.optim.Adam, 0.01, 4, 120, 512, {"accuracy", "mean_iou"}
    ),
    "liver_tumor": Preset(
        RAUNet, DiceCELoss, torch.optim.Adam, 1e-4, 2, 50, 512, {"dice", "precision", "recall"}
    ),
    "knee_cartilage": Preset(
        EASUNet, DeepSupervisionLoss, torch.optim.SGD, 0.01, 16, 50, 384, {"dice", "precision", "recall", "hd_mm"},
        {"momentum": 0.9, "weight_decay": 1e-4},
    ),
    "echo_left_ventricle": Preset(
        InceptionResUNet, DiceCELoss, torch.optim.Adam, 1e-4, 4, 100, 256, {"dice", "accuracy"}
    ),
}  # fmt: skip


def part(task: str, name: str, overrides: dict[str, Any] | None = None) -> Any:
    return workflow(task, ["train"], overrides or {}).parser.get_parsed_content(name)


@every_bundle
def test_the_schedule_is_the_papers(task: str) -> None:
    paper, parser = PAPERS[task], workflow(task, ["train"], {}).parser
    assert parser["batch_size"] == paper.batch_size
    assert parser["epochs"] == paper.epochs
    assert parser["plane_size"] == [paper.plane_size, paper.plane_size]
    assert {*parser["paper_metrics"]} >= paper.metrics
    assert parser["lr_decay"] == 1


@every_bundle
def test_network_and_optimiser_are_the_papers(task: str) -> None:
    paper, parser = PAPERS[task], workflow(task, ["train"], {}).parser
    optimizer, network = (parser.get_parsed_content(name) for name in ("optimizer", "network_def"))
    assert type(network) is paper.network
    assert type(optimizer) is paper.optimizer
    (group,) = optimizer.param_groups
    wanted = {"lr": paper.learning_rate, **paper.optimizer_options}
    assert {name: group[name] for name in wanted} == wanted
    assert len(group["params"]) == len(list(network.parameters()))


LOGITS = torch.tensor([[[[2.0, -1.0], [0.5, -3.0]]], [[[1.0, 0.0], [-2.0, 4.0]]]])
TRUTH = torch.tensor([[[[1.0, 0.0], [1.0, 0.0]]], [[[0.0, 0.0], [0.0, 1.0]]]])


def dice_loss(shares: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """1 − Dice of each image and class, and its mean."""
    axes = tuple(range(2, shares.dim()))
    return (1 - 2 * (shares * truth).sum(axes) / (shares.sum(axes) + truth.sum(axes))).mean()


@pytest.mark.parametrize(
    ("task", "dice_weight", "entropy_weight"),
    [("hematoma", 0.0, 1.0), ("liver_tumor", 1.0, 0.5), ("echo_left_ventricle", 1.0, 1.0)],
)
def test_the_loss_of_one_structure_weighs_dice_and_entropy_as_the_paper(
    task: str, dice_weight: float, entropy_weight: float
) -> None:
    loss = part(task, "loss")
    assert type(loss) is PAPERS[task].loss
    entropy = nn.functional.binary_cross_entropy(LOGITS.sigmoid(), TRUTH)
    expected = dice_weight * dice_loss(LOGITS.sigmoid(), TRUTH) + entropy_weight * entropy
    torch.testing.assert_close(loss(LOGITS, TRUTH), expected, rtol=0, atol=1e-4)


def test_the_lungs_loss_is_three_tenths_dice_and_seven_tenths_focal() -> None:
    loss = part("lung_infection", "loss")
    assert type(loss) is BothClassesDiceFocalLoss
    assert loss.gamma == 0.3
    shares = LOGITS.sigmoid()
    both = sum(1 - 2 * (p * t).sum() / (p.sum() + t.sum()) for p, t in ((shares, TRUTH), (1 - shares, 1 - TRUTH)))
    right = torch.where(TRUTH == 1, shares, 1 - shares)
    expected = 0.3 * both + 0.7 * ((1 - right) ** 2 * -right.log()).mean()
    torch.testing.assert_close(loss(LOGITS, TRUTH), expected, rtol=0, atol=1e-4)


def test_the_knees_loss_is_dice_and_entropy_of_the_fused_output_and_of_each_scale() -> None:
    loss = part("knee_cartilage", "loss")
    assert type(loss) is DeepSupervisionLoss
    logits = torch.randn((2, 3, 4, 6), generator=torch.Generator().manual_seed(0))
    truth = torch.randint(0, 3, (2, 1, 4, 6), generator=torch.Generator().manual_seed(1)).float()
    hot = nn.functional.one_hot(truth[:, 0].long(), 3).movedim(-1, 1)
    expected = dice_loss(logits.softmax(1), hot) + nn.functional.cross_entropy(logits, truth[:, 0].long())
    torch.testing.assert_close(loss(logits, truth), expected, rtol=0, atol=1e-3)
    weights = loss.get_weights(levels=3)
    torch.testing.assert_close(loss([logits] * 3, truth), sum(weights) * loss(logits, truth))


@every_bundle
def test_only_training_is_augmented(task: str) -> None:
    small = {"widths": part(task, "widths")}
    names = [
        [type(step).__name__ for step in part(task, name, small).flatten().transforms]
        for name in ("augmentation", "validate::preprocessing")
    ]
    assert all(name.startswith("Rand") for name in names[0])
    assert not [name for name in names[1] if name.startswith("Rand")]


@pytest.mark.parametrize(
    ("task", "steps"),
    [
        ("hematoma", {"RandFlipd", "RandAffined"}),
        ("liver_tumor", {"RandRotated", "RandZoomd", "RandFlipd"}),
    ],
)
def test_augmentation_is_the_papers(task: str, steps: set[str]) -> None:
    assert {type(step).__name__ for step in part(task, "augmentation").transforms} == steps
