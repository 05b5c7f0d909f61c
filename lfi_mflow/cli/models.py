"""``lfi-mflow models``: the flows that can be trained."""
# ruff: noqa: PLC0415 - torch is imported when the command runs

from __future__ import annotations

import click

from lfi_mflow.cli.console import show_facts, show_result
from lfi_mflow.cli.options import example, json_option

__all__ = ["command"]

_DENSITIES = {
    "lebesgue": "per volume of the feature space; comparable with ambient densities",
    "hausdorff": "per n-dimensional volume of the manifold; not comparable with ambient densities",
    "latent": "of the latents only: posteriors, but no density of events",
    "bound": "a lower bound of the density, not the density itself",
    "ratio": "none, but likelihood ratios: posteriors, and no density of events",
    "none": "none",
}


@click.command(epilog=example("lfi-mflow models"))
@json_option
def command(*, as_json: bool) -> None:
    """List the models, and what each can and cannot do."""
    from lfi_mflow.flows import PRESETS

    records = [
        {
            "name": preset.name,
            "summary": preset.summary,
            "reference": preset.reference,
            "density": _DENSITIES[preset.reference],
            "limits": preset.limits,
            "algorithms": list(preset.algorithms),
            "source": preset.source,
        }
        for preset in PRESETS.values()
    ]
    if not as_json:
        for record, preset in zip(records, PRESETS.values(), strict=True):
            show_facts(
                {
                    "model": record["name"],
                    "what it is": record["summary"],
                    "its density": record["density"],
                    "what it cannot do": record["limits"],
                    "training": _algorithms(preset.algorithms),
                    "paper": record["source"],
                }
            )
            click.echo()
    show_result(f"{len(records)} model(s)", records, as_json=as_json)


def _algorithms(names: tuple[str, ...]) -> str:
    """List the training algorithms of a model, the default one first."""
    return ", ".join([f"{names[0]} (default)", *names[1:]])
