"""The posterior on a grid, for one or two parameters: exact, and no chain to judge.

A coarse grid over the prior finds where the mass is; the box shrinks to it, as
often as it takes; then the nodes are doubled until evidence, mean and width no
longer change. Between nodes the density is linear, so that quantiles and draws
belong to one density, and a smooth posterior that fades inside the box is
integrated with an error that falls exponentially with the number of nodes.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import cached_property

import torch
from torch import Generator, Tensor

from lfi_mflow.errors import ConfigError, InputError
from lfi_mflow.inference.likelihood import LogPosterior
from lfi_mflow.inference.piecewise_linear import locate, quantiles
from lfi_mflow.simulation.priors import Normal, Prior

__all__ = ["GridPosterior", "GridSettings", "grid_posterior"]

_DEPTH = 25.0  # log-density below the maximum where the mass ends: e^-25 is nothing
_PRIOR_WIDTHS = 10.0  # a normal prior is searched over this many standard deviations
_MAX_ZOOMS = 60
_ZOOM_NODES = {1: 33, 2: 25}
_FIRST_NODES = {1: 129, 2: 65}
_MAX_NODES = {1: 8193, 2: 513}


@dataclass(frozen=True)
class GridSettings:
    """How fine a grid is.

    Arguments:
        tolerance: Largest estimated error of the log-evidence, and of mean and
            standard deviation in units of the latter.
        shape_tolerance: Largest integral of the absolute difference between the
            density and its linear interpolation, which draws and quantiles follow.
    """

    tolerance: float = 1e-3
    shape_tolerance: float = 2e-2


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
    """

    axes: Tensor
    log_density: Tensor
    log_evidence: Tensor
    error: Tensor
    shape_error: Tensor

    def __getitem__(self, row: int) -> GridPosterior:
        """Return the posterior of one of D data sets."""
        return GridPosterior(*(getattr(self, field.name)[row] for field in fields(self)))

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
        return _mesh(self.axes)

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
    settings: GridSettings | None = None,
) -> GridPosterior:
    """Compute a posterior, or D posteriors at once, on adaptive grids.

    Arguments:
        log_posterior: (T, p) -> (T,), or (D, T, p) -> (D, T) with ``data_sets`` = D.
        prior: The prior that is part of ``log_posterior``; its support is searched.
        data_sets: Number of data sets; None for one without a leading dimension.
        settings: How fine the grids are.

    Raises:
        ConfigError: If there are more than two parameters.
        InputError: If the log-posterior is NaN somewhere or has no mass.
    """
    if prior.dim not in _FIRST_NODES:
        raise ConfigError(
            "one or two parameters for a grid", str(prior.dim), "use the method mcmc instead"
        )
    settings = settings or GridSettings()
    evaluate = _Evaluator(log_posterior, data_sets is not None)
    low, high = _search_box(prior, data_sets or 1)
    low, high = _zoom(evaluate, low, high)
    axes = _axes(low, high, _FIRST_NODES[prior.dim])
    log_density = evaluate(axes)
    result = _normalise(axes, log_density)
    while not result.within(settings) and axes.shape[-1] < _MAX_NODES[prior.dim]:
        axes = _axes(low, high, 2 * axes.shape[-1] - 1)
        log_density = evaluate(axes, log_density)
        result = _normalise(axes, log_density)
    return result[0] if data_sets is None else result


class _Evaluator:
    """The log-posterior at the nodes of grids: axes (D, p, M) -> (D, M) or (D, M, M)."""

    def __init__(self, log_posterior: LogPosterior, batched: bool) -> None:
        self._log_posterior = log_posterior
        self._batched = batched

    def __call__(self, axes: Tensor, every_second: Tensor | None = None) -> Tensor:
        """Evaluate at the nodes, or at those between ``every_second``, which is known."""
        nodes = _mesh(axes)
        value = torch.full(nodes.shape[:-1], torch.nan, dtype=torch.float64)
        if every_second is not None:
            value[_every_second(value)] = every_second
        new = torch.isnan(value[0])
        wanted = nodes[:, new]
        with torch.no_grad():
            found = self._log_posterior(wanted if self._batched else wanted[0])
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


def _search_box(prior: Prior, data_sets: int) -> tuple[Tensor, Tensor]:
    """Where to look for the posterior: lower and upper ends, each with shape (D, p)."""
    ends = [
        (m.mean - _PRIOR_WIDTHS * m.sd, m.mean + _PRIOR_WIDTHS * m.sd)
        if isinstance(m, Normal)
        else (m.low, m.high)
        for m in prior.marginals
    ]
    low, high = torch.tensor(ends, dtype=torch.float64).T
    return low.expand(data_sets, -1), high.expand(data_sets, -1)


def _zoom(evaluate: _Evaluator, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """Shrink the boxes to where the mass is."""
    dim = low.shape[1]
    for _ in range(_MAX_ZOOMS):
        axes = _axes(low, high, _ZOOM_NODES[dim])
        kept = _may_hold_mass(evaluate(axes))
        # Per axis, from the node before the first kept one to the node after the last.
        others = [kept.any(2), kept.any(1)] if dim == 2 else [kept]
        lines = torch.stack(others, dim=1)
        number = torch.arange(lines.shape[-1])
        first = torch.where(lines, number, lines.shape[-1]).amin(-1) - 1
        last = torch.where(lines, number, -1).amax(-1) + 1
        new_low = axes.gather(-1, first.clamp(min=0).unsqueeze(-1))[..., 0]
        new_high = axes.gather(-1, last.clamp(max=lines.shape[-1] - 1).unsqueeze(-1))[..., 0]
        shrunk = bool(((new_high - new_low) < 0.7 * (high - low)).any())
        low, high = new_low, new_high
        if not shrunk:
            break
    return low, high


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


def _axes(low: Tensor, high: Tensor, nodes: int) -> Tensor:
    """Evenly spaced nodes that include both ends: (D, p) -> (D, p, M)."""
    share = torch.linspace(0.0, 1.0, nodes, dtype=torch.float64)
    return torch.lerp(low.unsqueeze(-1), high.unsqueeze(-1), share)


def _mesh(axes: Tensor) -> Tensor:
    """Nodes of a grid: (..., p, M) -> (..., M, p) or (..., M, M, p)."""
    if axes.shape[-2] == 1:
        return axes.mT
    first, second = axes.unbind(-2)
    size = (*first.shape, first.shape[-1])
    pair = [first.unsqueeze(-1).expand(size), second.unsqueeze(-2).expand(size)]
    return torch.stack(pair, dim=-1)


def _normalise(axes: Tensor, log_density: Tensor) -> GridPosterior:
    """Normalise, and compare with the grid of every second node."""
    fine = _integrate(axes, log_density)
    coarse = _integrate(axes[..., ::2], log_density[_every_second(log_density)])
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


def _every_second(values: Tensor) -> tuple[slice, ...]:
    """Index of every second node along each parameter: of (D, M) or (D, M, M)."""
    return (slice(None), *[slice(None, None, 2)] * (values.ndim - 1))


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
    return GridPosterior(axes, normalised, evidence, unknown, unknown)


def _moment(axes: Tensor, marginals: Tensor, values: Tensor) -> Tensor:
    """Expectation of values at the nodes: (..., p, M) -> (..., p)."""
    return torch.trapezoid(marginals * values, axes, dim=-1)
