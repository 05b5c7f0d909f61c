"""The figures of a posterior as PNG files."""
# ruff: noqa: PLC0415 - torch and matplotlib are imported when the command runs

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from lfi_mflow.cli.console import warn
from lfi_mflow.cli.progress import working
from lfi_mflow.errors import InputError
from lfi_mflow.files import atomic_output, check_output

if TYPE_CHECKING:
    from lfi_mflow.flows import Model
    from lfi_mflow.inference import Posterior, PredictiveCheck

__all__ = ["NAMES", "claim_plots", "write_plots"]

NAMES = ("corner", "contours", "profile", "trace", "predictive", "off_manifold")
"""Those of ``lfi_mflow.plots.FIGURES``, known before matplotlib is imported."""

_SMALL = 0.01


def claim_plots(folder: Path | None, *, force: bool) -> None:
    """Check that the figures may be written, before any work is done.

    Raises:
        InputError: If a figure exists and ``force`` is false, or the folder cannot be
            made or written.
    """
    if folder is None:
        return
    if folder.exists() and not folder.is_dir():
        raise InputError("a folder for the figures", f"the file {folder}", "give another name")
    if not folder.exists():
        check_output(folder, force=False)
        return
    for name in NAMES:
        check_output(folder / f"{name}.png", force=force)


def write_plots(
    folder: Path, model: Model, posterior: Posterior, everything: Posterior, seed: int
) -> dict[str, Any]:
    """Write the figures, and return what the predictive check found for the record.

    Arguments:
        folder: Where the figures go.
        model: The model of the posterior.
        posterior: The posterior.
        everything: The posterior of all events, drawn beside it if some were removed.
        seed: Seed of the generated events.
    """
    from lfi_mflow.inference import generates_events, predictive_check
    from lfi_mflow.plots import name_label, png, posterior_figures

    events = model.metadata.events
    parameters = [name_label(p.name, p.latex, p.unit) for p in events.parameters]
    observables = [name_label(o.name, o.latex, o.unit) for o in events.observables]
    flat = everything.draws.reshape(-1, len(parameters))
    with working(f"drawing into {folder}"):
        check = None
        if generates_events(model, posterior):
            check = predictive_check(model, posterior, seed=seed)
        figures = posterior_figures(
            posterior,
            (parameters, observables),
            distance_quantiles=model.metadata.training.get("distance_quantiles"),
            check=check,
            others={"all events": flat} if len(posterior.data.removed) else None,
        )
        folder.mkdir(exist_ok=True)
        for name, figure in figures.items():
            with atomic_output(folder / f"{name}.png") as temporary:
                temporary.write_bytes(png(figure))
    record: dict[str, Any] = {"plots": [str(folder / f"{name}.png") for name in figures]}
    if check is not None:
        _warn_of_differences(check)
        p_values = zip(check.observables, check.p_values.tolist(), strict=True)
        record["predictive_p_values"] = dict(p_values)
    return record


def _warn_of_differences(check: PredictiveCheck) -> None:
    """Say which observables are not as the model generates them."""
    if check.p_value >= _SMALL:
        return
    worst = check.observables[int(check.p_values.argmin())]
    warn(
        f"the observed {worst} is not distributed as the model generates it at the posterior "
        f"(p = {check.p_values.min():.2g} of {len(check.p_values)} observables): the density or "
        "the simulator is not that of the data, whatever the width of the posterior"
    )
