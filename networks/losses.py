"""The loss of the lung paper; those of the other papers are MONAI's own."""

import torch
from monai.losses import FocalLoss, TverskyLoss
from torch import nn


class BothClassesDiceFocalLoss(nn.Module):
    """γ·L_Dice + (1 − γ)·L_Focal of logits and shares, `(B, 1, *S)` each → one number.

    L_Dice = 2 − Σ_c TP/(TP + FN/2 + FP/2) over lesion and background, p and 1 − p, its sums over the whole batch: 0…2.
    L_Focal has the exponent `focal_gamma`, no class weights, and is the mean over the pixels. An empty truth is scored
    by the same formula: the lesion's term is near 1 as soon as anything is found.

    Lu, Yuan, Xu 2023 (see `lg_net`), with γ = 0.3. Lin et al., *Focal loss*, 2017, arXiv:1708.02002.
    """

    def __init__(self, gamma: float = 0.3, focal_gamma: float = 2.0) -> None:
        super().__init__()
        self.gamma = gamma
        self.dice = TverskyLoss(sigmoid=True, alpha=0.5, beta=0.5, batch=True, reduction="sum")
        self.focal = FocalLoss(gamma=focal_gamma)

    def forward(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        both = torch.cat([logits, -logits], dim=1), torch.cat([target, 1 - target], dim=1)
        return self.gamma * self.dice(*both) + (1 - self.gamma) * self.focal(logits, target)
