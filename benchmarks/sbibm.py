"""Likelihood surrogates on tasks of the sbibm benchmark, from simulations to C2ST.

::

    LFI_MFLOW_TEST_DATA=FOLDER python benchmarks/sbibm.py               # all five tasks
    LFI_MFLOW_TEST_DATA=FOLDER python benchmarks/sbibm.py two_moons --observations 1 2
    LFI_MFLOW_TEST_DATA=FOLDER python benchmarks/sbibm.py slcp --candidates default wide -o FILE
    LFI_MFLOW_TEST_DATA=FOLDER python benchmarks/sbibm.py --exact       # the gate of the samplers

For each task 10,000 simulations are drawn from the prior. The candidates of the task are
trained once; the one with the best validation likelihood is trained again from other
weights, and the surrogate is the mixture of all members. Reference posteriors play no part
in that. Posteriors come from the samplers of the package, and the C2ST of the benchmark
compares them with the reference samples. ``--exact`` puts the exact likelihood in the
place of the surrogate.

Results go to ``results/sbibm.json`` as they come: a run goes on where one was stopped, and
``--force`` begins anew.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from sbibm_references import reference_folder, reference_samples
from sbibm_tasks import TASKS
from torch import Tensor

from lfi_mflow.closure.c2st import c2st
from lfi_mflow.files import atomic_output
from lfi_mflow.flows import Dimensions, Flow, build_flow, get_preset
from lfi_mflow.inference import (
    EventSetLikelihood,
    McmcSettings,
    MixtureLikelihood,
    SimulatorLikelihood,
    grid_posterior,
    log_posterior,
    sample_posterior,
)
from lfi_mflow.training import Phase, ResidentEvents, fit

RESULTS = Path(__file__).parent / "results" / "sbibm.json"
SIMULATIONS, VALIDATION, SEED = 10_000, 0.1, 2021
TARGETS = {  # C2ST: published NLE at 10,000 simulations, and what we aim at
    "two_moons": (0.71, 0.65),
    "slcp": (0.77, 0.72),
    "gaussian_linear": (0.56, 0.53),
    "gaussian_linear_uniform": (0.55, 0.52),
    "bernoulli_glm": (0.60, 0.56),
}


@dataclass(frozen=True)
class Candidate:
    """A model and how it is trained.

    Arguments:
        name: What it is called in the results.
        latent: Settings of the latent flow.
        epochs: Longest training.
        learning_rate: Peak learning rate.
        batch_size: Events per step.
        weight_decay: Decoupled weight decay.
        principal_axes: Whether the flow works along the principal axes of the events.
        optimiser: Name of the optimiser.
        events: Into how many events of one data set the observables are divided: those of
            ``slcp`` are four independent points. Likelihoods of this package are of sets.
        preset: Name of the preset.
    """

    name: str
    latent: dict[str, int | str] = field(default_factory=dict)
    epochs: int = 40
    learning_rate: float = 2e-3
    batch_size: int = 250
    weight_decay: float = 1e-2
    principal_axes: bool = True
    optimiser: str = "adamw"
    events: int = 1
    preset: str = "af"

    def sets(self, x: Tensor) -> Tensor:
        """Observations as sets of events: (D, d events) -> (D, events, d)."""
        return x.unflatten(-1, (self.events, -1))

    def train(self, x: Tensor, theta: Tensor, seed: int) -> tuple[Flow, float]:
        """Train a flow; return it with its log-probability of the validation simulations."""
        d, p = x.shape[1] // self.events, theta.shape[1]
        events = ResidentEvents(self.sets(x), theta, validation_fraction=VALIDATION, seed=SEED)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            settings = {"latent": self.latent, "principal_axes": self.principal_axes}
            flow = build_flow(self.preset, Dimensions(d, d, p), settings)
        algorithm = get_preset(self.preset).algorithms[0]
        phase = Phase(
            algorithm,
            "latent-likelihood",
            self.epochs,
            self.batch_size,
            self.learning_rate,
            optimiser=self.optimiser,
            weight_decay=self.weight_decay,
            patience=10,
        )
        fit(flow, [phase], events, seed=seed)
        flow.requires_grad_(False)
        blocks = events.validation_events()
        total = sum(float(flow.log_prob(block.prepared, block.theta).sum()) for block in blocks)
        return flow, total * self.events / events.n_validation


SMALL = {"transforms": 2, "bins": 4, "hidden": 32, "components": 1, "centre": "linear"}
CANDIDATES = {
    "two_moons": (
        Candidate("default", epochs=60),
        Candidate("wide", {"hidden": 128, "components": 1}, epochs=60),
        Candidate("linear", {"hidden": 128, "components": 1, "centre": "linear"}, epochs=60),
    ),
    "slcp": (
        Candidate("default"),
        Candidate("linear", {"transforms": 3, "bins": 8, "components": 1, "centre": "linear"}),
        Candidate(
            "wide",
            {"transforms": 3, "bins": 8, "hidden": 128, "components": 1, "centre": "linear"},
        ),
        Candidate(
            "unturned",
            {"transforms": 3, "bins": 8, "hidden": 256, "components": 1, "centre": "linear"},
            weight_decay=0.3,
            principal_axes=False,
        ),
        Candidate(
            "points",
            {"transforms": 3, "bins": 8, "hidden": 128, "components": 1, "centre": "linear"},
            epochs=60,
            learning_rate=4e-3,
            batch_size=1000,
            weight_decay=0.1,
            principal_axes=False,
            optimiser="soap",
            events=4,
        ),
    ),
    "gaussian_linear": (Candidate("default", epochs=15), Candidate("small", SMALL, epochs=15)),
    "gaussian_linear_uniform": (
        Candidate("default", epochs=15),
        Candidate("small", SMALL, epochs=15),
    ),
    "bernoulli_glm": (
        Candidate("default", epochs=20),
        Candidate("small", SMALL, epochs=25),
        Candidate(
            "wide",
            {"transforms": 2, "bins": 4, "hidden": 256, "components": 1},
            epochs=40,
            weight_decay=0.3,
        ),
        Candidate(
            "unturned",
            {"transforms": 2, "bins": 4, "hidden": 256, "components": 1},
            epochs=60,
            batch_size=100,
            weight_decay=0.3,
            principal_axes=False,
        ),
        Candidate(
            "wider",
            {"transforms": 2, "bins": 4, "hidden": 512, "components": 1},
            epochs=40,
            weight_decay=0.3,
        ),
    ),
}


def simulated(task: str) -> tuple[Tensor, Tensor]:
    """The simulations of a task: observations (N, d) and parameters (N, p)."""
    simulator, rng = TASKS[task], np.random.default_rng(SEED)
    events = simulator.simulate(simulator.prior.sample(SIMULATIONS, rng), rng)
    return torch.from_numpy(events.x).float(), torch.from_numpy(events.theta).float()


def train(
    task: str, names: list[str] | None, members: int, report: Callable[[str], None]
) -> tuple[Candidate, list[Flow], dict]:
    """Train the candidates, and more members of the best; return it, them and what was found."""
    data, start = simulated(task), time.perf_counter()
    trained = []
    for candidate in CANDIDATES[task]:
        if names is None or candidate.name in names:
            flow, value = candidate.train(*data, seed=1)
            trained.append((value, candidate, flow))
            report(f"{candidate.name}: validation log p {value:.4f}")
    _, best, flow = max(trained, key=lambda row: row[0])
    flows = [flow, *(best.train(*data, seed)[0] for seed in range(2, members + 1))]
    return (
        best,
        flows,
        {
            "validation_log_prob": {
                candidate.name: round(value, 4) for value, candidate, _ in trained
            },
            "chosen": asdict(best),
            "members": members,
            "training_seconds": round(time.perf_counter() - start, 1),
        },
    )


def posterior_samples(likelihood, task: str, sets: int, n: int) -> tuple[np.ndarray, dict]:
    """Draw (D, n, p) in the parameters of the benchmark, and say how well the chains mixed."""
    prior, generator = TASKS[task].prior, torch.Generator().manual_seed(SEED)
    target = log_posterior(likelihood, prior)
    if prior.dim <= 2:
        grid = grid_posterior(target, prior, data_sets=sets)
        theta, quality = grid.sample(n, generator), {"grid_error": float(grid.error.max())}
    else:
        # A classifier knows a chain by copies, which rejected proposals leave, and by draws near
        # each other: one in four is taken of draws that are nearly independent.
        settings = McmcSettings(
            chains=64, draws=max(160, math.ceil(4 * n / 64)), ess=2.0 * n, max_evaluations=40_000
        )
        draws = sample_posterior(
            target, prior, generator=generator, data_sets=sets, settings=settings
        )
        flat = draws.theta.flatten(1, 2)
        theta = flat[:, torch.randperm(flat.shape[1], generator=generator)[:n]]
        quality = {
            "r_hat": round(float(draws.convergence.r_hat.max()), 4),
            "ess": round(float(draws.convergence.ess.min())),
            "evaluations": draws.evaluations,
        }
    flat = TASKS[task].published(theta.flatten(0, 1).numpy())
    return flat.reshape(theta.shape), quality


class Results:
    """The file of results, written after every step."""

    def __init__(self, path: Path, *, force: bool) -> None:
        self.path = path
        self.table = {} if force or not path.exists() else json.loads(path.read_text())

    def row(self, kind: str, task: str) -> dict:
        """What is known of a task, to be filled in."""
        return self.table.setdefault(kind, {}).setdefault(task, {"c2st": {}})

    def save(self) -> None:
        """Write the file."""
        with atomic_output(self.path) as temporary:
            temporary.write_text(json.dumps(self.table, indent=1) + "\n")


def run(task: str, arguments: argparse.Namespace, results: Results) -> None:
    """Train, sample and compare for one task."""
    kind = "exact likelihood" if arguments.exact else "10,000 simulations"
    row, folder = results.row(kind, task), reference_folder()
    if folder is None:
        raise SystemExit("set LFI_MFLOW_TEST_DATA to a folder with sbibm/ in it")
    todo = [k for k in arguments.observations if str(k) not in row["c2st"]]
    if not todo:
        return
    pairs = [reference_samples(folder, task, k) for k in todo]
    x = torch.from_numpy(np.stack([observation for observation, _ in pairs]))
    if arguments.exact:
        likelihood = SimulatorLikelihood(TASKS[task], x[:, None])
    else:
        best, flows, found = train(
            task,
            arguments.candidates,
            arguments.members,
            lambda line: print(task, line, flush=True),
        )
        sets = best.sets(x.float())
        likelihood = MixtureLikelihood([EventSetLikelihood(flow, sets) for flow in flows])
        row |= found
    n = arguments.samples
    samples, row["sampler"] = posterior_samples(likelihood, task, len(todo), n)
    results.save()
    for k, ours, (_, reference) in zip(todo, samples, pairs, strict=True):
        row["c2st"][str(k)] = round(c2st(ours, reference[:n], seed=1).value, 4)
        row["samples"], row["mean"] = n, round(float(np.mean(list(row["c2st"].values()))), 4)
        row["target"], row["aim"] = (0.53, 0.5) if arguments.exact else TARGETS[task]
        results.save()
        print(task, "observation", k, "C2ST", row["c2st"][str(k)], flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("tasks", nargs="*", help=", ".join(TASKS))
    parser.add_argument("--observations", nargs="+", type=int, default=[1, 2, 3, 4, 5])
    parser.add_argument("--candidates", nargs="+", help="only these candidates")
    parser.add_argument("--members", type=int, default=3, help="flows that are averaged")
    parser.add_argument("--samples", type=int, default=10_000, help="of each posterior")
    parser.add_argument("--exact", action="store_true", help="use the exact likelihood")
    parser.add_argument("--force", action="store_true", help="forget earlier results")
    parser.add_argument("-o", "--output", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    if unknown := set(arguments.tasks) - set(TASKS):
        parser.error(f"expected tasks among {', '.join(TASKS)}, found {', '.join(unknown)}")
    names = {candidate.name for task in arguments.tasks or TASKS for candidate in CANDIDATES[task]}
    if unknown := set(arguments.candidates or ()) - names:
        parser.error(f"expected candidates among {', '.join(names)}, found {', '.join(unknown)}")
    results = Results(arguments.output, force=arguments.force)
    for task in arguments.tasks or TASKS:
        run(task, arguments, results)


if __name__ == "__main__":
    main()
