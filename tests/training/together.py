"""Short trainings of all kinds of models, by one process or by those that torchrun starts.

torchrun --nproc-per-node 2 tests/training/together.py results.pt
"""

import dataclasses
import sys

import numpy as np
import torch

from lfi_mflow.flows import PRESETS, Dimensions, build_flow
from lfi_mflow.training import ALGORITHMS, Ranks, ResidentEvents, fit, joined

NETWORK = {"hidden": 8, "blocks": 1}
CHART = {**NETWORK, "layers": 2, "bins": 4}
LATENT = {"transforms": 1, "bins": 4, "hidden": 8, "components": 2}
SETTINGS = {
    "m-flow": {"chart": CHART},
    "me-flow": {"chart": CHART, "encoder": NETWORK},
    "rf": {"chart": CHART},
    "pie": {"chart": CHART, "epsilon": 0.3},
    "pie-original": {"chart": CHART, "epsilon": 0.3},
}
# Each event has a loss of its own, and nothing is drawn: two processes do what one does.
EXACT = [
    ("m-flow", "sequential"),
    ("m-flow", "penalised"),
    ("m-flow", "scandal"),
    ("me-flow", "sequential"),
    ("alices", "alices"),
]
DRAWN = [
    ("fif", "free-form"),
    ("rf", "rectangular"),
    ("m-flow", "transport"),
    ("gan", "adversarial"),
    ("bnre", "bnre"),
]


def _events(seed, weighted):
    """304 events on a parabola: 273 for training, in batches of 91 that two cannot halve."""
    rng = np.random.default_rng(seed)
    theta = rng.uniform(-1, 1, (304, 1))
    t = theta[:, 0] + 0.5 * rng.normal(size=304)
    columns = (
        np.stack([t, 10 * t**2], axis=1),
        theta,
        rng.uniform(0.5, 1.5, 304),
        theta - t[:, None],
    )
    x, theta, weight, score = map(torch.from_numpy, columns)
    return ResidentEvents(
        x, theta, weight if weighted else None, score, -score[:, 0], validation_fraction=0.1, seed=1
    )


def train(name, algorithm, seed=0):
    """Train a small flow for an epoch per phase: its weights, and the losses."""
    ratio = PRESETS[name].reference == "ratio"
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        settings = {**SETTINGS.get(name, {}), **({} if ratio else {"latent": LATENT})}
        latent_dim = 2 if PRESETS[name].ambient else 1
        flow = build_flow(name, Dimensions(2, latent_dim, 1), settings).double()
    phases = [
        dataclasses.replace(phase, epochs=1, batch_size=max(91, 2 * phase.minimises.least_batch))
        for phase in ALGORITHMS[algorithm]()[:2]
    ]
    events = _events(0, weighted=not ratio)
    history = fit(flow, phases, events, seed=seed)
    losses = [(epoch.train, epoch.validation) for p in history.phases for epoch in p.epochs]
    return flow.state_dict(), torch.tensor(losses, dtype=torch.float64)


def main(path):
    """Train all kinds, check that all processes end with the same weights, and save them."""
    results = {}
    with joined(torch.device("cpu")) as ranks:
        assert ranks == Ranks.current()
        for kind in EXACT + DRAWN:
            state, losses = train(*kind)
            for key, value in state.items():
                if value.is_floating_point():
                    mean = ranks.total(value.clone()) / ranks.size
                    torch.testing.assert_close(
                        mean, value, rtol=1e-14, atol=1e-14, msg=str((kind, key))
                    )
            results["/".join(kind)] = (state, losses)
        if ranks.leads:
            torch.save(results, path)


if __name__ == "__main__":
    main(sys.argv[1])
