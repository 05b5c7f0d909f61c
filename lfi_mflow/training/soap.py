"""SOAP: Adam in the eigenbasis of Shampoo's preconditioner.

A chart has to be accurate to a thousandth of the spread of its observables, and Adam,
which scales each weight on its own, approaches that slowly: the gradients of the weights
of a layer are correlated through its inputs and its outputs. SOAP keeps the second
moments :math:`L = E[G G^T]` and :math:`R = E[G^T G]` of the gradients G of every weight
matrix and runs Adam in their eigenbases, where the correlations are gone. A step costs
a few products of matrices of the size of the layer, next to nothing beside a batch of
hundreds of events.

References:
    | SOAP: Improving and stabilizing Shampoo using Adam (Vyas et al., 2024),
      https://arxiv.org/abs/2409.11321, algorithm 3
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

__all__ = ["Soap"]

_EPSILON = 1e-8


class Soap(Optimizer):
    """Adam in slowly turning eigenbases of the gradients of each weight matrix.

    Biases, and matrices with a side beyond ``largest``, are left to plain Adam. As fused
    optimisers do, it makes no step where ``found_inf`` is set to one, and does not wait for
    it.

    Arguments:
        parameters: What to optimise.
        lr: Learning rate, of the size that suits Adam or up to three times that.
        betas: Decay of the running mean of the gradients, and of their second moments.
        weight_decay: Decoupled weight decay.
        refresh: Steps between two updates of the eigenbases.
        largest: Longest side of a matrix whose eigenbases are worth their cost.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        lr: float,
        *,
        betas: tuple[float, float] = (0.95, 0.95),
        weight_decay: float = 0.0,
        refresh: int = 10,
        largest: int = 1024,
    ) -> None:
        super().__init__(parameters, {"lr": lr, "betas": betas, "weight_decay": weight_decay})
        self.refresh = refresh
        self.largest = largest

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Take one step with the gradients at hand; a closure is not called."""
        finite = 1.0 - getattr(self, "found_inf", torch.zeros(()))
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    gradient = torch.where(finite > 0, parameter.grad, 0.0)
                    self._step(parameter, gradient, group, finite)

    def _step(
        self, parameter: Tensor, gradient: Tensor, group: dict[str, Any], finite: Tensor
    ) -> None:
        """Move one parameter, where ``finite`` is one."""
        state, (beta_1, beta_2) = self.state[parameter], group["betas"]
        if not state:
            self._begin(state, gradient)
        state["step"] += finite
        state["mean"].lerp_(gradient, (1 - beta_1) * finite)
        mean, turned = state["mean"], gradient
        if "left" in state:
            mean, turned = (_turn(values, state) for values in (mean, gradient))
        state["square"].lerp_(turned.square(), (1 - beta_2) * finite)
        scale = (state["square"] / (1 - beta_2 ** state["step"])).sqrt_().add_(_EPSILON)
        update = mean / scale / (1 - beta_1 ** state["step"])
        if "left" in state:
            update = state["left_basis"] @ update @ state["right_basis"].T
            self._learn(state, gradient, (1 - beta_2) * finite)
        moved = group["lr"] * (update + group["weight_decay"] * parameter)
        parameter.sub_(torch.where(finite > 0, moved, 0.0))

    def _begin(self, state: dict[str, Any], gradient: Tensor) -> None:
        """Make the state of a parameter from its first gradient."""
        state["step"] = gradient.new_zeros(())
        state["mean"] = torch.zeros_like(gradient)
        state["square"] = torch.zeros_like(gradient)
        if gradient.dim() == 2 and max(gradient.shape) <= self.largest:
            state["until"] = self.refresh
            state["left"], state["right"] = gradient @ gradient.T, gradient.T @ gradient
            for side in ("left", "right"):
                state[f"{side}_basis"] = torch.linalg.eigh(state[side])[1]

    def _learn(self, state: dict[str, Any], gradient: Tensor, share: Tensor) -> None:
        """Take a gradient into the second moments, and turn the bases now and then."""
        state["left"].lerp_(gradient @ gradient.T, share)
        state["right"].lerp_(gradient.T @ gradient, share)
        state["until"] -= 1
        if not state["until"]:
            state["until"] = self.refresh
            for side in ("left", "right"):
                # One step of orthogonal iteration: the moments change slowly.
                basis = state[side] @ state[f"{side}_basis"]
                state[f"{side}_basis"] = torch.linalg.qr(basis)[0]


def _turn(values: Tensor, state: dict[str, Any]) -> Tensor:
    """Return a matrix in the eigenbases."""
    return state["left_basis"].T @ values @ state["right_basis"]
