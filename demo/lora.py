"""Low-rank factors around a base's linear layers, for training in PyTorch.

One set of factors serves all adapters in turn: `reset` makes them fresh.
Layers that an adapter does not target are switched off.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn

from demo.fleet_plan import ALPHA, ATTENTION, RANK


class LoraLinear(nn.Module):
    """``linear(x) + scale * x A^T B^T``, A (rank, in), B (out, rank), as PEFT has it.

    Without dropout: noise in the questions regularises, and costs no time in each layer.
    """

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.linear = linear
        self.lora_a = nn.Parameter(torch.zeros(RANK, linear.in_features))
        self.lora_b = nn.Parameter(torch.zeros(linear.out_features, RANK))
        self.scale = ALPHA / RANK
        self.active = True

    def forward(self, x: Tensor) -> Tensor:
        if not self.active:
            return self.linear(x)
        low = nn.functional.linear(x, self.lora_a)
        return self.linear(x) + self.scale * nn.functional.linear(low, self.lora_b)


def wrap(model: Any) -> dict[str, LoraLinear]:
    """Wrap every linear layer of the blocks; return them by name (``model.layers.0...``)."""
    model.requires_grad_(False)
    linears = [
        (name, module)
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and ".layers." in name
    ]
    wrapped: dict[str, LoraLinear] = {}
    for name, module in linears:
        parent, _, leaf = name.rpartition(".")
        wrapped[name] = LoraLinear(module)
        setattr(model.get_submodule(parent), leaf, wrapped[name])
    return wrapped


def reset(wrapped: dict[str, LoraLinear], seed: int) -> None:
    """Make all factors fresh: A random as in PEFT, B zero."""
    torch.manual_seed(seed)
    for layer in wrapped.values():
        nn.init.kaiming_uniform_(layer.lora_a, a=math.sqrt(5))
        nn.init.zeros_(layer.lora_b)


def targeted(wrapped: dict[str, LoraLinear], attention_only: bool) -> dict[str, LoraLinear]:
    """Switch on the layers that an adapter trains, the others off; return the former."""
    for name, layer in wrapped.items():
        layer.active = not attention_only or name.endswith(ATTENTION)
    return {name: layer for name, layer in wrapped.items() if layer.active}
