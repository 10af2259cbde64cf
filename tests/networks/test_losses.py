import numpy as np
import pytest
import torch

from sliceweave.networks.losses import BothClassesDiceFocalLoss


def by_hand(logits: np.ndarray, truth: np.ndarray) -> float:
    """The paper's formula, written out."""
    p = 1 / (1 + np.exp(-logits))
    dice = 2.0
    for found, true in ((p, truth), (1 - p, 1 - truth)):
        tp, fn, fp = (found * true).sum(), ((1 - found) * true).sum(), (found * (1 - true)).sum()
        dice -= tp / (tp + 0.5 * fn + 0.5 * fp)
    of_truth = np.where(truth == 1, p, 1 - p)
    focal = (-((1 - of_truth) ** 2) * np.log(of_truth)).mean()
    return float(0.3 * dice + 0.7 * focal)


def drawn(seed: int, share: float) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(0, 2, (3, 1, 7, 5)), (rng.uniform(size=(3, 1, 7, 5)) < share).astype(float)


@pytest.mark.parametrize(("seed", "share"), [(0, 0.3), (1, 0.02), (2, 1.0)])
def test_the_lung_loss_is_the_papers_formula(seed: int, share: float) -> None:
    logits, truth = drawn(seed, share)
    loss = BothClassesDiceFocalLoss()(torch.tensor(logits), torch.tensor(truth))
    assert float(loss) == pytest.approx(by_hand(logits, truth), abs=1e-5)


def test_sums_run_over_the_batch_and_both_classes() -> None:
    logits, truth = (torch.tensor(a) for a in drawn(3, 0.3))
    whole = BothClassesDiceFocalLoss(gamma=1.0)
    mean_of_parts = torch.stack([whole(logits[i : i + 1], truth[i : i + 1]) for i in range(3)]).mean()
    assert not torch.isclose(whole(logits, truth), mean_of_parts)
    worst = BothClassesDiceFocalLoss(gamma=1.0)(torch.where(truth > 0, -40.0, 40.0), truth)
    assert float(worst) == pytest.approx(2.0, abs=1e-3)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_perfect_answer_costs_nothing_also_without_a_lesion(value: float) -> None:
    truth = torch.full((2, 1, 6, 5), value)
    assert float(BothClassesDiceFocalLoss()(80 * truth - 40, truth)) == pytest.approx(0, abs=1e-4)
