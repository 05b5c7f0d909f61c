"""The posterior on a grid, for one or two parameters: exact, and no chain to judge.

A coarse grid over the prior finds where the mass is; the box shrinks to it, as
often as it takes. Inside the box the log-density is interpolated by a polynomial
through its values at Chebyshev nodes, whose number is doubled until the values at
the new nodes are those that the old ones foretold; where that does not come to
pass, the log-density is evaluated at every node of the grid. Each data set goes its
own way there. The nodes of the grid are doubled until evidence, mean and width no
longer change. Between them the density is linear, so that quantiles and draws belong
to one density, and a smooth posterior that fades inside the box is integrated with an
error that falls exponentially with their number.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property

import torch
from torch import Generator, Tensor

from lfi_mflow.errors import ConfigError, InputError
from lfi_mflow.inference.chebyshev import chebyshev_nodes, interpolate
from lfi_mflow.inference.likelihood import LogPosterior
from lfi_mflow.inference.piecewise_linear import locate, quantiles
from lfi_mflow.inference.windows import (
    Box,
    Evaluator,
    even_axes,
    every_second_of,
    fades,
    mesh,
    narrow,
    search_box,
    smooth_axes,
    zoom,
)
from lfi_mflow.simulation.priors import Prior

__all__ = ["GridPosterior", "GridSettings", "grid_posterior"]

_FIRST_NODES = {1: 129, 2: 65}
_MAX_NODES = {1: 8193, 2: 513}
_SMOOTH_NODES = 9
_MAX_SMOOTH_NODES = {1: 65, 2: 33}


@dataclass(frozen=True)
class GridSettings:
    """How fine a grid is.

    Arguments:
        tolerance: Largest estimated error of the log-evidence, and of mean and
            standard deviation in units of the latter.
        shape_tolerance: Largest integral of the absolute difference between the
            density and its linear interpolation, which draws and quantiles follow.
        interpolation_tolerance: Largest error of the density between the nodes where
            it was evaluated, relative to its maximum.
    """

    tolerance: float = 1e-3
    shape_tolerance: float = 2e-2
    interpolation_tolerance: float = 3e-3


@dataclass(frozen=True)
class GridPosterior:
    """Posterior density on a grid, of one data set or of D data sets.

    Arguments:
        axes: Nodes along each parameter, with shape (p, M) or (D, p, M).
        log_density: Normalised log-density at the nodes, with shape (M,) for one
            and (M, M) for two parameters; (D, M) and (D, M, M) for D data sets.
        log_evidence: Log of the integral of the posterior density as it was given,
            with shape () or (D,).
        error: Largest estimated error, with shape () or (D,); see :class:`GridSettings`.
        shape_error: Estimated integral of the absolute error of interpolation, with
            shape () or (D,).
        interpolation_error: Largest error of the density that new nodes showed in the
            polynomial before the last, relative to the maximum; zero where the density
            was evaluated at every node. With shape () or (D,).
    """

    axes: Tensor
    log_density: Tensor
    log_evidence: Tensor
    error: Tensor
    shape_error: Tensor
    interpolation_error: Tensor

    def __getitem__(self, row: int) -> GridPosterior:
        """Return the posterior of one of D data sets."""
        return GridPosterior(*(getattr(self, field.name)[row] for field in fields(self)))

    @property
    def box(self) -> Box:
        """Lower and upper ends of the grid, each with shape (p,) or (D, p)."""
        return self.axes[..., 0], self.axes[..., -1]

    def within(self, settings: GridSettings) -> bool:
        """Whether the errors of all data sets are small enough."""
        small = (self.error <= settings.tolerance) & (self.shape_error <= settings.shape_tolerance)
        return bool(small.all())

    @property
    def dim(self) -> int:
        """Number p of parameters."""
        return self.axes.shape[-2]

    @property
    def nodes(self) -> Tensor:
        """Nodes, with shape (M, p), (M, M, p) or the same after a leading D."""
        return mesh(self.axes)

    @property
    def evidence(self) -> Tensor:
        """Integral of the posterior density as it was given; may underflow to zero."""
        return self.log_evidence.exp()

    def marginal(self, parameter: int) -> tuple[Tensor, Tensor]:
        """Nodes and marginal density of a parameter, each with shape (M,) or (D, M)."""
        density = self._marginals[..., parameter, :]
        return self.axes[..., parameter, :], density

    @property
    def mean(self) -> Tensor:
        """Posterior mean, with shape (p,) or (D, p)."""
        return _moment(self.axes, self._marginals, self.axes)

    @property
    def sd(self) -> Tensor:
        """Posterior standard deviation, with shape (p,) or (D, p)."""
        centred = self.axes - self.mean.unsqueeze(-1)
        return _moment(self.axes, self._marginals, centred.square()).sqrt()

    def quantile(self, level: float) -> Tensor:
        """Quantile of each parameter, with shape (p,) or (D, p).

        Raises:
            InputError: If the level is not between 0 and 1.
        """
        if not 0.0 <= level <= 1.0:
            raise InputError("a quantile level from 0 to 1", str(level), "choose another")
        levels = self.axes.new_full((*self.axes.shape[:-1], 1), level)
        return quantiles(self.axes, self._marginals, levels)[..., 0]

    def sample(self, n: int, generator: Generator) -> Tensor:
        """Draw independently: (n, p) or (D, n, p).

        Arguments:
            n: Number of draws per data set.
            generator: Source of randomness, on the CPU.
        """
        leading = self.axes.shape[:-2]
        levels = torch.rand((*leading, n, self.dim), generator=generator, dtype=torch.float64)
        axis, density = self.marginal(0)
        first = quantiles(axis, density, levels[..., 0])
        if self.dim == 1:
            return first.unsqueeze(-1)
        row, share = locate(axis, first)
        rows = row.unsqueeze(-1).expand(*row.shape, axis.shape[-1])
        joint = self.log_density.exp()
        below, above = joint.gather(-2, rows), joint.gather(-2, rows + 1)
        conditional = torch.lerp(below, above, share.unsqueeze(-1))
        second_axis = self.axes[..., 1, :].unsqueeze(-2).expand_as(conditional)
        second = quantiles(second_axis, conditional, levels[..., 1:])[..., 0]
        return torch.stack([first, second], dim=-1)

    def log_prob(self, theta: Tensor) -> Tensor:
        """Normalised log-density at parameters inside the box, linear between the nodes.

        Arguments:
            theta: Parameters, with shape (n, p) or (D, n, p).

        Returns:
            Log-density, with shape (n,) or (D, n).
        """
        row, share = locate(self.axes[..., 0, :], theta[..., 0])
        density = self.log_density.exp()
        if self.dim == 1:
            below, above = density.gather(-1, row), density.gather(-1, row + 1)
            return torch.lerp(below, above, share).log()
        rows = row.unsqueeze(-1).expand(*row.shape, density.shape[-1])
        line = torch.lerp(
            density.gather(-2, rows), density.gather(-2, rows + 1), share.unsqueeze(-1)
        )
        column, share = locate(self.axes[..., 1, :], theta[..., 1])
        ends = [line.gather(-1, (column + k).unsqueeze(-1))[..., 0] for k in (0, 1)]
        return torch.lerp(ends[0], ends[1], share).log()

    @cached_property
    def _marginals(self) -> Tensor:
        """Marginal densities, with shape (..., p, M)."""
        density = self.log_density.exp()
        if self.dim == 1:
            return density.unsqueeze(-2)
        first, second = self.axes.unbind(-2)
        return torch.stack(
            [
                torch.trapezoid(density, second.unsqueeze(-2), dim=-1),
                torch.trapezoid(density, first.unsqueeze(-1), dim=-2),
            ],
            dim=-2,
        )


def grid_posterior(
    log_posterior: LogPosterior,
    prior: Prior,
    *,
    data_sets: int | None = None,
    of_sets: Callable[[Tensor], LogPosterior] | None = None,
    settings: GridSettings | None = None,
    previews: Sequence[LogPosterior] = (),
) -> GridPosterior:
    """Compute a posterior, or D posteriors at once, on adaptive grids.

    Arguments:
        log_posterior: (T, p) -> (T,), or (D, T, p) -> (D, T) with ``data_sets`` = D.
        prior: The prior that is part of ``log_posterior``; its support is searched.
        data_sets: Number of data sets; None for one without a leading dimension.
        of_sets: Returns the log-posterior of the data sets of some indices, with shape (D',):
            (D', T, p) -> (D', T). Then a few densities that are not smooth do not make all
            of them cost as much.
        settings: How fine the grids are.
        previews: Log-posteriors of parts of the events, which cost less; the first
            is that of the smallest part. They only find the window, see
            :meth:`EventSetLikelihood.previews`.

    Raises:
        ConfigError: If there are more than two parameters.
        InputError: If the log-posterior is NaN somewhere or has no mass.
    """
    if prior.dim not in _FIRST_NODES:
        raise ConfigError(
            "one or two parameters for a grid", str(prior.dim), "use the method mcmc instead"
        )
    settings = settings or GridSettings()
    evaluate = Evaluator(log_posterior, data_sets, of_sets)
    whole = search_box(prior, data_sets or 1)
    if previews:
        box = whole
        for preview in previews:
            box = zoom(Evaluator(preview, data_sets), box)
        result = _fill(evaluate, narrow(evaluate, box), settings)
    # A part of the events that misleads costs time, never the truth.
    if not previews or not fades(result.log_density, result.box, whole):
        result = _fill(evaluate, zoom(evaluate, whole), settings)
    return result[0] if data_sets is None else result


def _fill(evaluate: Evaluator, box: Box, settings: GridSettings) -> GridPosterior:
    """Compute the posterior in boxes around its mass."""
    log_density = _LogDensity(evaluate, box, settings.interpolation_tolerance)
    result = _refine(log_density, box, settings)
    return replace(result, interpolation_error=log_density.error)


class _LogDensity:
    """The log-density of D data sets on evenly spaced grids in their boxes.

    Arguments:
        evaluate: What it is.
        box: The boxes.
        tolerance: Largest error of a polynomial through it at Chebyshev nodes, as in
            :class:`GridSettings`.

    Attributes:
        error: What the last doubling of the nodes changed, with shape (D,); zero where no
            polynomial follows the density.
    """

    def __init__(self, evaluate: Evaluator, box: Box, tolerance: float) -> None:
        data_sets, dim = box[0].shape
        self.error = torch.zeros(data_sets, dtype=torch.float64)
        self._smooth: list[tuple[Tensor, Tensor]] = []  # data sets, values at Chebyshev nodes
        rough = torch.ones(data_sets, dtype=torch.bool)
        nodes, left = _SMOOTH_NODES, torch.arange(data_sets)
        values = evaluate(smooth_axes(box, nodes))
        kept = _finite(values)
        while kept.any() and nodes < _MAX_SMOOTH_NODES[dim]:
            left, values, nodes = left[kept], values[kept], 2 * nodes - 1
            foretold = interpolate(values, chebyshev_nodes(nodes))
            values = evaluate.of_sets(left)(smooth_axes(_boxes(box, left), nodes), values)
            error = _change(foretold, values)
            smooth = (error <= tolerance) & _finite(values)
            self._smooth.append((left[smooth], values[smooth]))
            self.error[left[smooth]] = error[smooth]
            rough[left[smooth]] = False
            kept = ~smooth & _finite(values)
        self._rough = rough.nonzero()[:, 0]
        self._box = _boxes(box, self._rough)
        self._evaluate = evaluate.of_sets(self._rough) if len(self._rough) else evaluate

    def __call__(self, nodes: int, every_second: Tensor | None) -> Tensor:
        """Return it at M nodes for each parameter: (D, M) or (D, M, M).

        Arguments:
            nodes: Number M of nodes.
            every_second: What it is at every second of them, None if unknown.
        """
        dim = self._box[0].shape[1]
        log_density = torch.empty((len(self.error), *[nodes] * dim), dtype=torch.float64)
        share = torch.linspace(0.0, 1.0, nodes, dtype=torch.float64)
        for sets, values in self._smooth:
            log_density[sets] = interpolate(values, share)
        if len(self._rough):
            known = None if every_second is None else every_second[self._rough]
            log_density[self._rough] = self._evaluate(even_axes(self._box, nodes), known)
        return log_density


def _boxes(box: Box, sets: Tensor) -> Box:
    """Boxes of some data sets."""
    return box[0][sets], box[1][sets]


def _finite(values: Tensor) -> Tensor:
    """Which data sets have finite values only: (D, M) or (D, M, M) -> (D,)."""
    return torch.isfinite(values).flatten(1).all(1)


def _change(foretold: Tensor, values: Tensor) -> Tensor:
    """Largest change of a density relative to its maximum: log-densities (D, *) -> (D,)."""
    peak = values.flatten(1).amax(1).reshape(-1, *[1] * (values.ndim - 1))
    wrong = (foretold - peak).exp() - (values - peak).exp()
    return torch.nan_to_num(wrong.abs().flatten(1).amax(1), nan=torch.inf)


def _refine(
    values: Callable[[int, Tensor | None], Tensor], box: Box, settings: GridSettings
) -> GridPosterior:
    """Double the nodes until the errors are small: (nodes, every second value) -> values."""
    dim = box[0].shape[1]
    nodes, log_density = _FIRST_NODES[dim], None
    while True:
        log_density = values(nodes, log_density)
        result = _normalise(even_axes(box, nodes), log_density)
        if result.within(settings) or nodes >= _MAX_NODES[dim]:
            return result
        nodes = 2 * nodes - 1


def _normalise(axes: Tensor, log_density: Tensor) -> GridPosterior:
    """Normalise, and compare with the grid of every second node."""
    fine = _integrate(axes, log_density)
    coarse = _integrate(axes[..., ::2], log_density[every_second_of(log_density)])
    sd = fine.sd
    changes = [
        (fine.log_evidence - coarse.log_evidence).unsqueeze(-1),
        (fine.mean - coarse.mean) / sd,
        coarse.sd / sd - 1.0,
    ]
    # With half the spacing the trapezoid rule has a quarter of the error, or far less.
    error = torch.cat(changes, dim=-1).abs().amax(-1) / 3.0
    # Mass at one node only has no width yet: not a number means not resolved.
    error = torch.nan_to_num(error, nan=torch.inf)
    # So has linear interpolation.
    guess = torch.nn.functional.interpolate(
        coarse.log_density.exp().unsqueeze(1),
        size=log_density.shape[1:],
        mode="linear" if log_density.ndim == 2 else "bilinear",
        align_corners=True,
    )[:, 0]
    shape_error = 0.25 * _integral(axes, (fine.log_density.exp() - guess).abs())
    return replace(fine, error=error, shape_error=shape_error)


def _integral(axes: Tensor, values: Tensor) -> Tensor:
    """Integrate by the trapezoid rule: (D, p, M), (D, M) or (D, M, M) -> (D,)."""
    for axis in reversed(axes.unbind(1)):
        # The last dimension first: what is left of the grid then ends with the next axis.
        points = axis.reshape(len(axis), *[1] * (values.ndim - 2), -1)
        values = torch.trapezoid(values, points, dim=-1)
    return values


def _integrate(axes: Tensor, log_density: Tensor) -> GridPosterior:
    """Normalise a log-density on a grid by the trapezoid rule."""
    peak = log_density.flatten(1).amax(1)
    ones = [1] * (log_density.ndim - 1)
    scaled = (log_density - peak.reshape(-1, *ones)).exp()
    evidence = peak + _integral(axes, scaled).log()
    normalised = log_density - evidence.reshape(-1, *ones)
    unknown = torch.full_like(evidence, torch.inf)
    return GridPosterior(axes, normalised, evidence, unknown, unknown, torch.zeros_like(evidence))


def _moment(axes: Tensor, marginals: Tensor, values: Tensor) -> Tensor:
    """Expectation of values at the nodes: (..., p, M) -> (..., p)."""
    return torch.trapezoid(marginals * values, axes, dim=-1)
