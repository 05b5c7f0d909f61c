"""Both ways between this package and sbi.

A model that was trained here goes to sbi by :func:`as_sbi_estimator`. Who writes a script
of sbi trains an M-flow in it: :func:`mflow` is what
``sbi.inference.NLE(density_estimator=...)`` takes.

sbi trains with one loop, and a manifold is learned in a phase before the density. sbi
hands all training events to the function that builds the estimator, once, before its
loop begins. There the manifold phases run, with the loop of this package; the chart is
frozen; and what is left to sbi's loop is the density on the manifold, which is what its
loss, early stopping and plots are made for.

References:
    | sbi reloaded: a toolkit for simulation-based inference workflows (Boelts et al., 2024)
    | https://arxiv.org/abs/2411.17337
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from lfi_mflow.errors import ConfigError, DataError, ModelMismatchError
from lfi_mflow.flows import Dimensions, TiltedManifoldFlow, build_flow, get_preset
from lfi_mflow.inference.sbi_estimator import FlowEstimator, as_sbi_estimator, check_flow
from lfi_mflow.training import ALGORITHMS, LatentLikelihood, Phase, ResidentEvents, fit

__all__ = ["as_sbi_estimator", "mflow"]

BuildFunction = Callable[[Tensor, Tensor], "TrainableFlowEstimator"]
"""What sbi calls with parameters (N, p) and events (N, d)."""


def mflow(
    latent_dim: int | None,
    *,
    model: str = "m-flow",
    settings: Mapping[str, Any] | None = None,
    phases: Sequence[Phase] | None = None,
    validation_fraction: float = 0.1,
    seed: int = 0,
    device: torch.device | str = "cpu",
) -> BuildFunction:
    """Return the function with which sbi's NLE builds an M-flow.

    Called by sbi's ``train`` with the training events, it learns the manifold (``phases``),
    freezes it and fits the standardisation of the latents. sbi's loop then trains the
    density on the manifold, and nothing else: its loss is -log p(u | theta) of the latents
    u. The volume term is a constant of each event; it is left out of the loss, and part of
    ``log_prob``. sbi's batch size, learning rate and early stopping apply to the density.

    In later rounds sbi goes on with the estimator it has, and the manifold stays that of
    the first; ``train(retrain_from_scratch=True)`` learns it again.

    The estimator can do what that of :func:`as_sbi_estimator` can. Its ``net`` is the
    flow, for projections, distances to the manifold and the samplers of this package.

    Arguments:
        latent_dim: Dimension n of the manifold; None for a model that learns none, such as "af".
        model: Name of the preset, see ``lfi_mflow.flows.PRESETS``.
        settings: Settings of the flow, see the ``settings`` of the preset.
        phases: What is trained before sbi's loop; by default the phases of the model's
            default algorithm that train the chart. With a density phase among them,
            sbi's loop goes on from there.
        validation_fraction: Fraction of the events, as sbi hands them over, that chooses the
            epoch of each phase. sbi has set its own validation events aside before.
        seed: Seed of weights, split and order; sbi's loop takes torch's global one.
        device: Where the phases run. sbi then moves the estimator to its own device.

    Raises:
        UnknownNameError: If the model or a setting does not exist.
        ConfigError: If the model does not train its manifold before its density, or from the
            build function, if the dimensions cannot be.
        ModelMismatchError: From the build function, if the model has no density, its
            chart depends on theta, or its latent density does not.
        DataError: From the build function, if events or parameters are not finite.
        TrainingError: From the build function, if a loss is not finite.

    Example:
        >>> build = mflow(latent_dim=2)
        >>> inference = NLE(prior, density_estimator=build)  # doctest: +SKIP
        >>> inference.append_simulations(theta, x).train()  # doctest: +SKIP
        >>> posterior = inference.build_posterior()  # doctest: +SKIP
    """
    before = _manifold_phases(model) if phases is None else tuple(phases)

    def build(theta: Tensor, x: Tensor) -> TrainableFlowEstimator:
        """Build an estimator and train its manifold: (N, p), (N, d)."""
        _check_finite(theta, x)
        n = x.shape[1] if latent_dim is None else latent_dim
        dimensions = Dimensions(data=x.shape[1], latent=n, theta=theta.shape[1])
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            flow = build_flow(model, dimensions, settings or {}).to(device)
        check_flow(flow)
        if isinstance(flow, TiltedManifoldFlow):
            raise ModelMismatchError(
                "a model whose latent density depends on theta, for sbi to train it",
                f"one where a ratio does ({model})",
                "train it with lfi-mflow, and give it to as_sbi_estimator",
            )
        events = ResidentEvents(
            *(values.to(device, torch.float32) for values in (x, theta)),
            validation_fraction=validation_fraction,
            seed=seed,
        )
        fit(flow, before, events, seed=seed)
        if all(phase.minimises.part == "chart" for phase in before):
            objective = LatentLikelihood()
            prepared = events.prepare(lambda x, theta: objective.prepare(flow, x, theta))
            objective.begin(flow, prepared.some())
        flow.requires_grad_(False).latent.requires_grad_(True)
        return TrainableFlowEstimator(flow.cpu())

    return build


class TrainableFlowEstimator(FlowEstimator):
    """A flow whose density on a frozen manifold sbi trains; see :func:`mflow`.

    Arguments:
        flow: The flow that it owns.
    """

    def loss(self, input: Tensor, condition: Tensor, **_: Any) -> Tensor:  # noqa: A002 - sbi's
        """Negative log-density of the latents: (B, d), (B, p) -> (B,)."""
        self._check_input_shape(input)
        self._check_condition_shape(condition)
        with torch.no_grad():
            u = self.net.latents(self._native(input))
        return -self.net.log_prob_latent(u, self._native(condition))


def _manifold_phases(model: str) -> tuple[Phase, ...]:
    """Return the phases of a model's default algorithm that train its chart."""
    algorithm = get_preset(model).algorithms[0]
    phases = ALGORITHMS[algorithm]()
    if any(phase.minimises.part == "all" for phase in phases):
        raise ConfigError(
            "a model that learns its manifold before its density",
            f"{model}, which is trained by {algorithm!r}",
            "choose another model, or train it here and use as_sbi_estimator",
        )
    return tuple(phase for phase in phases if phase.minimises.part == "chart")


def _check_finite(theta: Tensor, x: Tensor) -> None:
    """Fail if there are NaN or infinite values: sbi would train on them."""
    for name, values in (("theta", theta), ("x", x)):
        bad = int((~values.isfinite()).any(dim=-1).sum())
        if bad:
            raise DataError(
                f"finite values in {name}",
                f"{bad} of {len(values)} rows with NaN or infinite ones",
                "leave these rows out before append_simulations",
            )
