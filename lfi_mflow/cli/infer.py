"""``lfi-mflow infer``: the parameters of observed events."""
# ruff: noqa: PLC0415 - torch is imported when the command runs

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lfi_mflow.cli.columns import observed_mapping
from lfi_mflow.cli.console import log, show_result, show_table, warn
from lfi_mflow.cli.options import (
    FILE,
    claim_output,
    device_option,
    drop_nonfinite_option,
    example,
    force_option,
    json_option,
    limited_threads,
    mapping_options,
    output_option,
    prior_option,
    seed_option,
    threads_option,
)
from lfi_mflow.cli.outliers import (
    outlier_record,
    show_outliers,
    show_removal,
    warn_of_observables,
)
from lfi_mflow.cli.posterior_plots import claim_plots, write_plots
from lfi_mflow.cli.priors import inference_prior
from lfi_mflow.cli.progress import working
from lfi_mflow.errors import DataError, InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from lfi_mflow.data import ImportReport
    from lfi_mflow.flows import Model
    from lfi_mflow.inference import Posterior
    from lfi_mflow.simulation import Events

__all__ = ["command", "read_events"]

_COLUMNS = ("mean", "sd", "q16", "q50", "q84", "r_hat", "ess")
_R_HAT_LIMIT = 1.01
_GRID_LIMIT = 0.01  # of the error of mean and width, in widths
_DIVERGENCES_LIMIT = 1e-3  # share of the draws
_SPREAD_LIMIT = 0.5  # of the means of several models, in widths
_NOT_TO_BE_TRUSTED = 3  # exit status of a posterior that was written all the same
_ESS_LIMIT = 400
_ROWS = 10


@click.command(
    epilog=example(
        "lfi-mflow infer model.mflow --observed observed.h5 -o posterior.nc",
        "lfi-mflow infer model.mflow --observed data.root --tree events --observable px \\",
        "    --observable py --observable 'm = sqrt(E**2 - px**2 - py**2)' -o posterior.nc",
        "lfi-mflow infer model.mflow --observed data.root --mapping map.toml --json -o p.nc",
        "lfi-mflow infer model.mflow --observed observed.h5 --without-outliers --plots plots \\",
        "    -o posterior.nc",
        "lfi-mflow infer a.mflow b.mflow c.mflow --observed observed.h5 -o posterior.nc",
    )
)
@click.argument("models", metavar="MODEL...", type=FILE, nargs=-1, required=True)
@click.option(
    "--observed",
    type=FILE,
    required=True,
    metavar="FILE",
    help="Observed events: an event file (.h5), or a ROOT, Parquet or LHE file.",
)
@mapping_options
@click.option(
    "--events", "n_events", type=click.IntRange(min=1), metavar="K", help="Use the first K events."
)
@click.option(
    "--method",
    type=click.Choice(["auto", "mcmc", "hmc", "grid"]),
    default="auto",
    show_default=True,
    help="Markov chains of an ensemble (mcmc) or guided by the gradient (hmc), or a grid for one "
    "or two parameters; auto takes the grid for those, hmc for more than 10 parameters, and mcmc "
    "otherwise.",
)
@click.option(
    "--condition",
    "conditions",
    multiple=True,
    metavar="NAME",
    help="A parameter that is known for each event: its values are read from the observed file, "
    "and the prior is that of the others. Repeat it for several.",
)
@click.option(
    "--limits",
    is_flag=True,
    expose_value=False,
    help="Confidence regions instead of a posterior: the options are those of lfi-mflow limits.",
)
@click.option(
    "--moving-manifold",
    is_flag=True,
    help="Compare densities on manifolds that depend on theta, although they have no ratio.",
)
@click.option(
    "--without-outliers",
    is_flag=True,
    help="Leave events off the manifold out, and compare with the posterior of all events.",
)
@click.option("--plots", type=FILE, metavar="DIR", help="Folder for figures, as PNG files.")
@prior_option
@seed_option
@device_option
@threads_option
@drop_nonfinite_option
@output_option("Posterior to write, NetCDF.")
@force_option
@json_option
def command(
    models: tuple[Path, ...],
    observed: Path,
    output: Path,
    *,
    force: bool,
    as_json: bool,
    **options: Any,
) -> int:
    """Infer the parameters of observed events.

    MODEL is a model file. All events share one value of the parameters. The columns of
    a foreign file come from the options, or else from the mapping the model's own events
    were imported with, or else from branches named like the observables. The prior is
    that of the training events unless --prior is given.

    Several models of the same parameters and observables are taken as one: the
    likelihood is that of their mixture, and the spread of mean and width between the
    posteriors of the members is reported.

    The exit status is 3 if the posterior was written but is not to be trusted: the chains
    have not mixed (R-hat above 1.01), more than one trajectory in a thousand diverged, or the
    grid has not resolved it.
    """
    claim_output(output, *models, observed, force=force)
    _check_members(models, options)
    claim_plots(options["plots"], force=force)
    from lfi_mflow.flows import load_model
    from lfi_mflow.inference import require_distances
    from lfi_mflow.training import resolve_device

    with limited_threads(options["threads"]):
        device = resolve_device(options["device"])
        trained = [load_model(model, device) for model in models]
        if options["without_outliers"]:
            require_distances(trained[0])
        events, report = read_events(trained[0], observed, options)
        everything, posterior = (
            _with_sources(found, models, observed, report)
            for found in _infer(trained, events, options)
        )
        posterior.save(output)
        _show_posterior(posterior, as_json=as_json)
        more = {}
        if options["plots"] is not None:
            more = write_plots(options["plots"], trained[0], posterior, everything, options["seed"])
    _show_result(posterior, output, report, more, as_json=as_json)
    doubts = _doubts(posterior.summary())
    for words in doubts:
        warn(words)
    return _NOT_TO_BE_TRUSTED if doubts else 0


def _check_members(models: Sequence[Path], options: Mapping[str, Any]) -> None:
    """Fail if several models are to do what only one can."""
    for name in ("without_outliers", "plots"):
        if len(models) > 1 and options[name]:
            raise InputError(
                f"one model with --{name.replace('_', '-')}",
                f"{len(models)}",
                "each model has a manifold of its own: give one of them",
            )


def read_events(model: Model, path: Path, options: dict[str, Any]) -> tuple[Events, ImportReport]:
    """Read the observed events that are to be used."""
    from lfi_mflow.data import read_observed

    metadata = model.metadata
    events, report = read_observed(
        path,
        observed_mapping(
            metadata, options["mapping_path"], options["tree"], options["observables"]
        ),
        metadata.events.observable_names,
        conditions=options.get("conditions", ()),
        drop_nonfinite=options["drop_nonfinite"],
    )
    if report.kept < report.read:
        log(f"{path}: {report}")
    if events.weight is not None:
        warn(f"the event weights in {path} are not used: every observed event counts once")
    wanted = options["n_events"]
    if wanted is None:
        return events, report
    if wanted > len(events):
        raise DataError(
            f"at least {wanted} events in {path}", f"{len(events)}", "give a smaller --events"
        )
    return events[:wanted], report


def _infer(
    models: Sequence[Model], events: Events, options: dict[str, Any]
) -> tuple[Posterior, Posterior]:
    """Compute the posterior of all events, and that of the events to be used."""
    import numpy as np

    from lfi_mflow.inference import infer_by_ensemble, infer_posterior, without_outliers

    conditions = options["conditions"]
    prior = inference_prior(models[0].metadata.events, options["prior"], conditions)
    known = dict(zip(conditions, events.theta.T, strict=False))

    def infer(used: NDArray[np.bool_]) -> Posterior:
        settings = {
            "method": options["method"],
            "prior": prior,
            "seed": options["seed"],
            "known": {name: values[used] for name, values in known.items()},
        }
        if len(models) > 1:
            return infer_by_ensemble(models, events.x[used], **settings)
        moving = options["moving_manifold"]
        return infer_posterior(models[0], events.x[used], moving_manifold=moving, **settings)

    with working(f"inferring from {len(events):,} events"):
        everything = infer(np.ones(len(events), dtype=bool))
    if not options["without_outliers"]:
        return everything, everything
    with working("inferring without the events off the manifold"):
        return everything, without_outliers(models[0], everything, infer)


def _with_sources(
    posterior: Posterior, models: Sequence[Path], observed: Path, report: ImportReport
) -> Posterior:
    """Add the files that a posterior comes from, and the rows of its events."""
    rows = None if report.rows is None else report.rows[: len(posterior.data.x)]
    source = {"model": ", ".join(map(str, models)), "observed": str(observed)}
    return dataclasses.replace(
        posterior,
        data=dataclasses.replace(posterior.data, row=rows),
        provenance={**posterior.provenance, **source},
    )


def _show_posterior(posterior: Posterior, *, as_json: bool) -> None:
    """Show the posterior and what to beware of."""
    summary = posterior.summary()
    if not as_json:
        rows = [_row(name, row) for name, row in summary["parameters"].items()]
        several = "members" in summary["sampler"]
        spread = ("± mean", "± sd") if several else ()
        show_table(("parameter", "mean", "sd", "q16", "q50", "q84", "R-hat", "ESS", *spread), rows)
        show_outliers(posterior.data)
        show_removal(posterior)
    _warn(summary, posterior)


def _show_result(
    posterior: Posterior,
    output: Path,
    report: ImportReport,
    more: Mapping[str, Any],
    *,
    as_json: bool,
) -> None:
    """Show the result in one line."""
    summary = posterior.summary()
    n_events = len(posterior.observed)
    record = {
        "output": output,
        "n_events": n_events,
        "dropped": report.read - report.kept,
        **summary,
        **outlier_record(posterior.data),
        **more,
    }
    line = (
        f"{output}: posterior of {n_events:,} events by {posterior.method}, "
        f"off-manifold p-value {_number(summary['off_manifold_p_value'])}, "
        f"{summary['seconds']:.1f} s"
    )
    show_result(line, record, as_json=as_json)


def _warn(summary: Mapping[str, Any], posterior: Posterior) -> None:
    """Say in words what makes the posterior doubtful."""
    from lfi_mflow.inference import lie_off_manifold

    if lie_off_manifold(summary):
        p_value = summary["off_manifold_p_value"]
        warn(
            f"the observed events do not lie on the learned manifold (p = {p_value:.2g}): the "
            "simulator, the columns or their units may not be those of the data, or some events "
            f"come from elsewhere{_outliers(posterior)}; the posterior does not know of it"
        )
    warn_of_observables(posterior.data)
    for name, row in summary["parameters"].items():
        if row.get("mean_spread", 0.0) > _SPREAD_LIMIT * row["sd"]:
            warn(
                f"the models disagree about {name}: their posterior means spread by "
                f"{row['mean_spread']:.2g}, beside a width of {row['sd']:.2g}; train longer or "
                "on more events"
            )
        if row["ess"] is not None and row["ess"] < _ESS_LIMIT:
            warn(
                f"the draws of {name} are worth only {row['ess']:.0f} independent ones: its "
                "quantiles are uncertain"
            )


def _doubts(summary: Mapping[str, Any]) -> list[str]:
    """Say in words why the sampler has not done its work; empty if it has."""
    words = []
    for name, row in summary["parameters"].items():
        r_hat = row["r_hat"]
        if r_hat is None or r_hat > _R_HAT_LIMIT:
            value = "unknown" if r_hat is None else f"{r_hat:.3f}"
            words.append(
                f"the chains of {name} have not mixed (R-hat {value}): do not trust its "
                "mean and quantiles; try another --method or another --seed"
            )
    sampler = summary["sampler"]
    if sampler.get("divergences", 0) > _DIVERGENCES_LIMIT * sampler.get("draws", 0):
        words.append(
            f"{sampler['divergences']:,} trajectories diverged: the posterior has a corner that "
            "they do not reach; try --method mcmc"
        )
    error = sampler.get("error", 0.0)
    if error is None or error > _GRID_LIMIT:
        words.append(
            "the grid has not resolved the posterior (error of mean and width "
            f"{'unknown' if error is None else f'{error:.2g}'}): try --method mcmc"
        )
    return words


def _outliers(posterior: Posterior) -> str:
    """Name the rows of the events that are off the manifold, the first of them if many."""
    data = posterior.data
    rows = [str(row) for row in data.rows[data.off_manifold_events]]
    if not rows:
        return ""
    more = f" and {len(rows) - _ROWS} more" if len(rows) > _ROWS else ""
    return f" (rows {', '.join(rows[:_ROWS])}{more})"


def _row(name: str, row: Mapping[str, float | None]) -> tuple[str, ...]:
    """Write a parameter as a row of the table."""
    values = [_number(row[column]) for column in _COLUMNS[:5]]
    r_hat, ess = row["r_hat"], row["ess"]
    values.append("-" if r_hat is None else f"{r_hat:.3f}")
    values.append("-" if ess is None else f"{ess:.0f}")
    spread = [_number(row[key]) for key in ("mean_spread", "sd_spread") if key in row]
    return name, *values, *spread


def _number(value: float | None) -> str:
    """Write a number with four digits."""
    return "-" if value is None else f"{value:.4g}"
