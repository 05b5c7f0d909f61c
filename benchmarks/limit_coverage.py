"""Coverage of asymptotic and Neyman regions with the exact likelihood of ``higgs-eft``.

::

    python benchmarks/limit_coverage.py                # 1,000 experiments each, minutes
    python benchmarks/limit_coverage.py --repeat 300

Joint regions of two Wilson coefficients in the units of the published study, jet cuts, the
number of events included. Printed is the share of experiments whose region holds the truth:
by the critical values of Wilks with the exact maximum, and by those that a Neyman
construction interpolates from toys, with the maximum on a grid. An event is stood for by
its six component weights, which are all that the exact likelihood needs.
"""

from __future__ import annotations

import argparse
import math

import numpy as np
import torch

from lfi_mflow.inference.experiment import CountingExperiment, DataSet
from lfi_mflow.inference.neyman import NeymanSettings, calibrate
from lfi_mflow.inference.profile import profile
from lfi_mflow.inference.rates import ExpectedEvents
from lfi_mflow.inference.regions import mesh, wilks
from lfi_mflow.simulation import get_simulator

LEVELS = (0.68, 0.95)
SIMULATOR = get_simulator("higgs-eft", {"theta_scale": 10, "cuts": "jets"})
INFORMATION = np.array([126.5, 21.3])  # per event, of the shape at the Standard Model
NODES, STRIDE, REACH = 61, 5, 11.0  # the range in errors of the Standard Model


def monomials(theta):
    """Monomials of theta: (..., 2) -> (..., 6)."""
    a, b = theta.unbind(-1)
    return torch.stack([torch.ones_like(a), a, b, a * a, a * b, b * b], dim=-1)


class ComponentLikelihood:
    """Log-likelihood of the shape of events, of which x are the component weights."""

    def __init__(self, x):
        self.x = x
        self.rates = torch.as_tensor(SIMULATOR.rates)

    def __call__(self, theta):
        """Log-likelihood: (..., 2) -> (...), or (D, ..., 2) -> (D, ...)."""
        x = self.x if self.x.ndim == 3 else self.x.expand(1, *self.x.shape)
        flat = monomials(theta).reshape(len(x), -1, 6)
        terms = (x @ flat.mT).clamp_min(1e-300).log().sum(dim=1)
        total = terms - x.shape[1] * (flat @ self.rates).log()
        return total.reshape(theta.shape[:-1])


def source(theta, seed):
    """Component weights of events at given parameters, and the weights of the events."""
    events = SIMULATOR.simulate(theta, np.random.default_rng(seed))
    return events.components / events.components.sum(axis=1, keepdims=True), events.weight


def make_experiment(events):
    """The experiment that expects so many events at the Standard Model."""
    luminosity = events / SIMULATOR.cross_section(np.zeros((1, 2)))[0]
    rate = ExpectedEvents(SIMULATOR.cross_section, luminosity=luminosity)
    ends = REACH / np.sqrt(INFORMATION * events)
    return CountingExperiment(("theta1", "theta2"), -ends, ends, ComponentLikelihood, rate)


def draw(experiment, theta, repeat, rng):
    """Log-likelihoods of data sets at a truth, as functions (T, 2) -> (T,), one by one."""
    x, weight = source(np.tile(theta, (30_000, 1)), int(rng.integers(2**31)))
    chance = weight / weight.sum()
    for number in rng.poisson(experiment.expected(theta), repeat):
        rows = rng.choice(len(x), number, p=chance)
        yield number, torch.as_tensor(x[rows])


def largest(density, start, experiment):
    """The largest likelihood near the best nodes of a grid."""
    widths = np.diff(np.stack([experiment.low, experiment.high]), axis=0)[0] / (2 * REACH)
    ends = np.full(2, -1.0), np.full(2, 1.0)
    return profile(density, start, (0, 1), widths, ends)[1].max().item()


def statistics(experiment, theta, axes, repeat, rng):
    """T at the truth of data sets: with the exact maximum, and with that on the grid."""
    nodes = mesh(experiment, axes).reshape(-1, 2)
    wide = torch.cartesian_prod(*[torch.linspace(-1, 1, 25, dtype=torch.float64)] * 2)
    truth = torch.as_tensor(theta)
    found = []
    for number, x in draw(experiment, theta, repeat, rng):

        def density(points, x=x, number=number):
            shape = (
                ComponentLikelihood(x)(points) if number else points.new_zeros(points.shape[:-1])
            )
            return shape + experiment.rate_term(points, number)

        on_grid, everywhere = density(nodes), density(wide)
        start = torch.cat([nodes[on_grid.topk(2).indices], wide[everywhere.topk(2).indices]])
        best = max(largest(density, start, experiment), on_grid.max().item())
        value = density(truth[None]).item()
        found.append([2 * (best - value), 2 * (on_grid.max().item() - value)])
    return np.array(found).T


def study(events, theta, repeat, seed):
    """Coverage of both kinds of regions for one truth, with what toys were thrown."""
    experiment, rng = make_experiment(events), np.random.default_rng(seed)
    theta = np.asarray(theta) / np.sqrt(INFORMATION * events)
    axes = tuple(
        np.linspace(*ends, NODES) for ends in zip(experiment.low, experiment.high, strict=True)
    )
    exact, on_grid = statistics(experiment, theta, axes, repeat, rng)
    data = DataSet(source(np.zeros((events, 2)), seed)[0])
    settings = NeymanSettings(toys=300, pool=10_000, seed=seed + 1, stride=STRIDE)
    likelihood = experiment.likelihood
    found = calibrate(
        experiment, data, axes, source, source_density=likelihood, levels=LEVELS, settings=settings
    )
    cells = []
    for level in LEVELS:
        place = [np.argmin(np.abs(axis - value)) for axis, value in zip(axes, theta, strict=True)]
        critical = found.joint[level][tuple(place)]
        shares = np.mean(exact <= wilks(level, 2)), np.mean(on_grid <= critical)
        cells += [f"{share:.3f}" for share in shares]
    return cells, math.sqrt(0.25 / repeat)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=1_000)
    parser.add_argument("--events", type=int, nargs="+", default=[10, 36, 200])
    options = parser.parse_args()
    repeat = options.repeat
    print("| events | truth, in errors | Wilks 68 % | toys 68 % | Wilks 95 % | toys 95 % |")
    print("|---|---|---|---|---|---|")
    for events in options.events:
        for theta in ((0.0, 0.0), (0.8, -1.3)):
            cells, error = study(events, theta, repeat, 11)
            print(f"| {events} | {theta} | {' | '.join(cells)} |", flush=True)
    print(f"\nThe error of a share is at most {error:.3f}.")
