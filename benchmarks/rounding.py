"""Do the laws of a flow hold where products of matrices are rounded, as GPUs offer it?

::

    python benchmarks/rounding.py             # results/rounding.json, half an hour on one thread
    python benchmarks/rounding.py --force     # forget what is there

In TF32 a GPU rounds the factors of a product to 10 bits after the point, in bfloat16 to 7, and
adds up in single precision. Here the same is done to every product of matrices, forwards and
backwards, on whatever processor there is: it says what would be lost, not what would be gained.

- ``laws``: a default M-flow of the polynomial surface, trained in single precision and evaluated
  in each: how well its latents come back from the manifold, and errors of log p with the exact
  volume and of log-likelihood ratios of sets of 100 events, beside double precision;
- ``training/PRECISION/SEED``: what a training comes to in each, evaluated in single precision.
"""

from __future__ import annotations

import argparse
import copy
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measuring import Results, scaled
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from lfi_mflow.closure.evaluation import FlowEvaluator
from lfi_mflow.data.production import produce
from lfi_mflow.flows import Flow
from lfi_mflow.simulation.priors import default_prior
from lfi_mflow.simulation.registry import get_simulator
from lfi_mflow.simulation.runner import SimulationJob
from lfi_mflow.training import RunConfig, train_model

HERE = Path(__file__).parent
SIMULATOR, EVENTS, TEST_EVENTS = "polynomial-surface", 20_000, 4_000
SET = 100
SEEDS = (1, 2)


class RoundedProducts(TorchDispatchMode):
    """Rounds the factors of all products of matrices in single precision.

    Arguments:
        bits: Bits after the point that are left of 23.
    """

    def __init__(self, bits: int) -> None:
        super().__init__()
        self._dropped = 23 - bits

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Call an operation, with rounded factors if it is a product."""
        if func.overloadpacket in flop_registry:
            added = int(func.overloadpacket.__name__ in {"addmm", "baddbmm"})
            args = (*args[:added], *map(self._round, args[added:]))
        return func(*args, **(kwargs or {}))

    def _round(self, value: Any) -> Any:
        """Round to the nearest number with fewer bits, and to an even one if there are two."""
        if not isinstance(value, Tensor) or value.dtype != torch.float32:
            return value
        bits = value.contiguous().view(torch.int32)
        half = (1 << (self._dropped - 1)) - 1 + ((bits >> self._dropped) & 1)
        return ((bits + half) & -(1 << self._dropped)).view(torch.float32)


PRECISIONS: Mapping[str, Callable[[], AbstractContextManager[Any]]] = {
    "single": nullcontext,
    "tf32": partial(RoundedProducts, 10),
    "bfloat16": partial(RoundedProducts, 7),
}


def trained(path: Path, precision: str, seed: int) -> Flow:
    """Train a default M-flow."""
    config = RunConfig(seed=seed)
    if scaled(100) < 100:
        config = config.with_epochs(1)
    with PRECISIONS[precision]():
        return train_model(path, config).flow.eval()


def drawn(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Parameters of the prior and events at them."""
    simulator, rng = get_simulator(SIMULATOR), np.random.default_rng(seed)
    theta = default_prior(simulator.parameters).sample(scaled(TEST_EVENTS, least=2 * SET), rng)
    return theta, simulator.simulate(theta, rng).x


def laws(path: Path) -> dict[str, Any]:
    """What is lost of round trips, densities and ratios, by precision."""
    return errors_of(trained(path, "single", 0))


@torch.no_grad()
def errors_of(flow: Flow) -> dict[str, Any]:
    """Errors of a flow by precision, and the spread of what they are errors of."""
    theta, x = (torch.from_numpy(values) for values in drawn(0))
    u = flow.double().encode(x, theta)
    exact = _values(flow, x, theta)
    flow.float()
    found = {}
    for name, rounded in PRECISIONS.items():
        with rounded():
            back = flow.encode(flow.decode(u.float(), theta.float()), theta.float())
            values = _values(flow, x.float(), theta.float())
        errors = {key: values[key].double() - exact[key] for key in exact}
        found[name] = {
            "round_trip": _size(back.double() - u),
            **{key: _size(error) for key, error in errors.items()},
        }
    spreads = {key: value.std().item() for key, value in exact.items()}
    return {"spread": {"latents": u.std().item(), **spreads}, "errors": found}


def _values(flow: Flow, x: Tensor, theta: Tensor) -> dict[str, Tensor]:
    """Log p of each event, and log-likelihood ratios of sets of them."""
    low, high = torch.full_like(theta, -0.1), torch.full_like(theta, 0.1)
    ratio = flow.log_prob(x, high) - flow.log_prob(x, low)
    return {"log_p": flow.log_prob(x, theta), "log_ratio": ratio.reshape(-1, SET).sum(dim=1)}


def _size(error: Tensor) -> dict[str, float]:
    """How large errors are."""
    return {"median": error.abs().median().item(), "largest": error.abs().max().item()}


def training(path: Path, precision: str, seed: int) -> dict[str, float]:
    """What a training comes to: distance of events from the manifold, and what log p lacks."""
    flow = trained(path, precision, seed)
    theta, x = drawn(seed)
    evaluator = FlowEvaluator(copy.deepcopy(flow))
    missing = get_simulator(SIMULATOR).log_prob(x, theta) - evaluator.log_prob(x, theta)
    return {
        "distance": float(evaluator.distance(x, theta).mean()),
        "log_p_missing": float(missing.mean()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("-o", "--output", type=Path, default=HERE / "results" / "rounding.json")
    parser.add_argument("--force", action="store_true", help="forget earlier results")
    options = parser.parse_args()
    torch.set_num_threads(1)
    results = Results(options.output, force=options.force)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "events.h5"
        prior = default_prior(get_simulator(SIMULATOR).parameters)
        events = scaled(EVENTS, least=1_000)
        produce(SimulationJob(SIMULATOR, {}, events, seed=5, prior=prior), path)
        results.measure("laws", partial(laws, path))
        for seed in SEEDS:
            for precision in PRECISIONS:
                work = partial(training, path, precision, seed)
                results.measure(f"training/{precision}/{seed}", work)


if __name__ == "__main__":
    main()
