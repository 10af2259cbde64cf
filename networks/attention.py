"""Attention shared by two papers, in 2D and 3D."""

import torch
from torch import nn
from torch.nn import functional as F


class SelfAttention(nn.Module):
    """Every pixel gathers from all others: `(B, C, *S)` → `(B, C, *S)`, exact, memory linear in the pixel count.

    Q, K, V = X·W_q, X·W_k, X·W_v, which are 1×1 convolutions; Y = softmax(QKᵀ/√d_k)·V; the result is X + Y. d_k is
    C / heads. About 4·N²·C operations for N pixels.
    Vaswani et al., *Attention is all you need*, 2017, arXiv:1706.03762.
    """

    def __init__(self, channels: int, heads: int = 1) -> None:
        super().__init__()
        self.heads = heads
        self.w_q = nn.Linear(channels, channels, bias=False)
        self.w_k = nn.Linear(channels, channels, bias=False)
        self.w_v = nn.Linear(channels, channels, bias=False)

    def split_heads(self, tokens: torch.Tensor) -> torch.Tensor:
        """`(B, N, C)` → `(B, heads, N, C / heads)`, the form in which the CPU kernel never holds an N×N matrix."""
        return tokens.view(tokens.shape[0], tokens.shape[1], self.heads, -1).transpose(1, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tokens = x.flatten(2).transpose(1, 2)
        q, k, v = (
            self.split_heads(self.w_q(tokens)),
            self.split_heads(self.w_k(tokens)),
            self.split_heads(self.w_v(tokens)),
        )
        y = F.scaled_dot_product_attention(q, k, v)
        return x + y.transpose(1, 2).flatten(2).transpose(1, 2).reshape(x.shape)
