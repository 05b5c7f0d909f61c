"""Where the mass of a posterior of one or two parameters is: a box around it.

A coarse grid over the prior shrinks to the nodes that may hold mass, as often as it
takes. Where an evaluation is dear, a part of the events finds a box that is somewhat too
large, and polynomials through a few values of the whole shrink it further.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from lfi_mflow.errors import InputError
from lfi_mflow.inference.chebyshev import chebyshev_nodes, interpolate
from lfi_mflow.inference.likelihood import LogPosterior
from lfi_mflow.simulation.priors import Normal, Prior

__all__ = [
    "Box",
    "Evaluator",
    "even_axes",
    "every_second_of",
    "fades",
    "mesh",
    "narrow",
    "search_box",
    "smooth_axes",
    "zoom",
]

Box = tuple[Tensor, Tensor]
"""Lower and upper ends, each with shape (D, p)."""

_DEPTH = 25.0  # log-density below the maximum where the mass ends: e^-25 is nothing
_FADED = 12.0  # at an edge of the box that the prior does not give
_PRIOR_WIDTHS = 10.0  # a normal prior is searched over this many standard deviations
_MAX_ZOOMS = 60
_ZOOM_NODES = {1: 33, 2: 25}
_MAX_NARROWINGS = 6
_NARROW_NODES = 9
_DRAWN_NODES = {1: 1025, 2: 129}  # of the polynomial through the values


class Evaluator:
    """The log-posterior at the nodes of grids: axes (D, p, M) -> (D, M) or (D, M, M).

    Arguments:
        log_posterior: (T, p) -> (T,), or (D, T, p) -> (D, T) of D data sets.
        data_sets: Number D of data sets; None for one without a leading dimension.
        of_sets: Returns the log-posterior of the data sets of some indices. Without it, that
            of all is asked, and what it says of the others goes unused.
    """

    def __init__(
        self,
        log_posterior: LogPosterior,
        data_sets: int | None = None,
        of_sets: Callable[[Tensor], LogPosterior] | None = None,
    ) -> None:
        self._log_posterior = log_posterior
        self._data_sets = data_sets
        self._of_sets = of_sets

    def of_sets(self, sets: Tensor) -> Evaluator:
        """Return the evaluator of the data sets of some indices, with shape (D',)."""
        if len(sets) == (self._data_sets or 1):
            return self
        some = partial(self._among_all, sets) if self._of_sets is None else self._of_sets(sets)
        return Evaluator(some, len(sets))

    def _among_all(self, sets: Tensor, theta: Tensor) -> Tensor:
        """Log-posterior of some data sets, by that of all: (D', T, p) -> (D', T)."""
        everywhere = theta[:1].repeat(self._data_sets or 1, 1, 1)
        everywhere[sets] = theta
        return self._log_posterior(everywhere)[sets]

    def __call__(self, axes: Tensor, every_second: Tensor | None = None) -> Tensor:
        """Evaluate at the nodes, or at those between ``every_second``, which is known."""
        nodes = mesh(axes)
        value = torch.full(nodes.shape[:-1], torch.nan, dtype=torch.float64)
        if every_second is not None:
            value[every_second_of(value)] = every_second
        new = torch.isnan(value[0])
        wanted = nodes[:, new]
        with torch.no_grad():
            found = self._log_posterior(wanted[0] if self._data_sets is None else wanted)
        value[:, new] = found.to("cpu", torch.float64).reshape(wanted.shape[:-1])
        broken = torch.isnan(value)
        if broken.any():
            raise InputError(
                "a log-posterior that is a number",
                f"NaN at theta = {tuple(nodes[broken][0].tolist())}",
                "narrow the prior to where the model was trained, or train it again",
            )
        if torch.isneginf(value).flatten(1).all(1).any():
            raise InputError(
                "a posterior density above zero somewhere in the prior",
                f"zero at all {value[0].numel()} nodes of a grid",
                "check that the observed events and the prior belong to this model",
            )
        return value


def search_box(prior: Prior, data_sets: int) -> Box:
    """Where to look for the posterior: lower and upper ends, each with shape (D, p)."""
    ends = [
        (m.mean - _PRIOR_WIDTHS * m.sd, m.mean + _PRIOR_WIDTHS * m.sd)
        if isinstance(m, Normal)
        else (m.low, m.high)
        for m in prior.marginals
    ]
    low, high = torch.tensor(ends, dtype=torch.float64).T
    return low.expand(data_sets, -1), high.expand(data_sets, -1)


def zoom(evaluate: Evaluator, box: Box) -> Box:
    """Shrink the boxes to where the mass is."""
    for _ in range(_MAX_ZOOMS):
        axes = even_axes(box, _ZOOM_NODES[box[0].shape[1]])
        new = _around(axes, _may_hold_mass(evaluate(axes)))
        shrunk, box = _is_smaller(new, box), new
        if not shrunk:
            break
    return box


def narrow(evaluate: Evaluator, box: Box) -> Box:
    """Shrink boxes in which the log-density is smooth, with a few evaluations.

    A polynomial through the values at Chebyshev nodes says where the mass is: good
    enough for a window, which is a tenth wider at each end and has to fade there.
    """
    dim = box[0].shape[1]
    share = torch.linspace(0.0, 1.0, _DRAWN_NODES[dim], dtype=torch.float64)
    for _ in range(_MAX_NARROWINGS):
        drawn = interpolate(evaluate(smooth_axes(box, _NARROW_NODES)), share)
        peak = drawn.flatten(1).amax(1).reshape(-1, *[1] * dim)
        low, high = _around(even_axes(box, len(share)), drawn >= peak - _DEPTH)
        margin = 0.1 * (high - low)
        new = torch.maximum(low - margin, box[0]), torch.minimum(high + margin, box[1])
        shrunk, box = _is_smaller(new, box), new
        if not shrunk:
            break
    return box


def fades(log_density: Tensor, box: Box, whole: Box) -> bool:
    """Whether a density is nothing at the edges of a box, except where the prior ends.

    Arguments:
        log_density: Values on a grid over the box, with shape (D, M) or (D, M, M).
        box: The box.
        whole: The box that was searched first.
    """
    peak = log_density.flatten(1).amax(1)
    for axis in range(log_density.ndim - 1):
        for end, index in ((0, 0), (1, -1)):
            edge = log_density.select(axis + 1, index).reshape(len(peak), -1).amax(1)
            inside = box[end][:, axis] != whole[end][:, axis]
            if bool((inside & (edge > peak - _FADED)).any()):
                return False
    return True


def _around(axes: Tensor, kept: Tensor) -> Box:
    """Per axis, from the node before the first kept one to the node after the last."""
    others = [kept.any(2), kept.any(1)] if kept.ndim == 3 else [kept]
    lines = torch.stack(others, dim=1)
    number = torch.arange(lines.shape[-1])
    first = torch.where(lines, number, lines.shape[-1]).amin(-1) - 1
    last = torch.where(lines, number, -1).amax(-1) + 1
    low = axes.gather(-1, first.clamp(min=0).unsqueeze(-1))[..., 0]
    high = axes.gather(-1, last.clamp(max=lines.shape[-1] - 1).unsqueeze(-1))[..., 0]
    return low, high


def _is_smaller(new: Box, old: Box) -> bool:
    """Whether it was worth it for one of the boxes."""
    return bool(((new[1] - new[0]) < 0.7 * (old[1] - old[0])).any())


def _may_hold_mass(log_density: Tensor) -> Tensor:
    """Nodes near which there can be mass, for a density with shape (D, M) or (D, M, M).

    On a coarse grid the peak lies between nodes: for a parabola it is at most an
    eighth of the second difference above the nearest node. Twice that is allowed.
    """
    bound = log_density.clone()
    for dim in range(1, log_density.ndim):
        second = log_density.diff(n=2, dim=dim).abs()
        second = torch.where(torch.isfinite(second), second, 0.0)
        ends = [second.narrow(dim, 0, 1), second, second.narrow(dim, second.shape[dim] - 1, 1)]
        bound += 0.25 * torch.cat(ends, dim=dim)
    peak = log_density.flatten(1).amax(1).reshape(-1, *[1] * (log_density.ndim - 1))
    return bound >= peak - _DEPTH


def even_axes(box: Box, nodes: int) -> Tensor:
    """Evenly spaced nodes that include both ends: (D, p) -> (D, p, M)."""
    return _axes(box, torch.linspace(0.0, 1.0, nodes, dtype=torch.float64))


def smooth_axes(box: Box, nodes: int) -> Tensor:
    """Chebyshev nodes, which include both ends: (D, p) -> (D, p, M)."""
    return _axes(box, chebyshev_nodes(nodes))


def _axes(box: Box, share: Tensor) -> Tensor:
    """Nodes at the same shares of every side: (D, p), (M,) -> (D, p, M)."""
    return torch.lerp(box[0].unsqueeze(-1), box[1].unsqueeze(-1), share)


def mesh(axes: Tensor) -> Tensor:
    """Nodes of a grid: (..., p, M) -> (..., M, p) or (..., M, M, p)."""
    if axes.shape[-2] == 1:
        return axes.mT
    first, second = axes.unbind(-2)
    size = (*first.shape, first.shape[-1])
    pair = [first.unsqueeze(-1).expand(size), second.unsqueeze(-2).expand(size)]
    return torch.stack(pair, dim=-1)


def every_second_of(values: Tensor) -> tuple[slice, ...]:
    """Index of every second node along each parameter: of (D, M) or (D, M, M)."""
    return (slice(None), *[slice(None, None, 2)] * (values.ndim - 1))
