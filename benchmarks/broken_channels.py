"""How often a broken detector channel is found and named, as docs/diagnostics.md says.

::

    lfi-mflow simulate higgs-eft -n 20000 --seed 1 -o train.h5
    lfi-mflow train train.h5 --epochs 6 -o model.mflow
    lfi-mflow simulate higgs-eft -n 200 --theta 0.2,0.1 --seed 5 -o events.h5
    python benchmarks/broken_channels.py model.mflow events.h5

Every second observable is broken in all events, once dead (zero) and once shifted by
its standard deviation. Printed is how often residuals are called wide, how often the
widest is that of the broken channel, and whether replacing an observable names it.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

import numpy as np

from lfi_mflow.data import open_events
from lfi_mflow.flows import load_model
from lfi_mflow.inference.residuals import (
    standardised_residuals,
    suspect_observable,
    wide_observables,
)


def main() -> None:
    """Break one channel after the other and count."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("events", type=Path)
    arguments = parser.parse_args()
    model = load_model(arguments.model)
    names = model.metadata.events.observable_names
    widths = model.metadata.training["residual_widths"]
    with open_events(arguments.events) as file:
        x = file.read().x
    found: Counter[str] = Counter()
    found["false alarm"] = len(wide_observables(standardised_residuals(model.flow, x, widths)))
    for k in range(0, len(names), 2):
        for value in (np.zeros(len(x)), x[:, k] + x[:, k].std()):
            broken = x.copy()
            broken[:, k] = value
            wide = wide_observables(standardised_residuals(model.flow, broken, widths))
            suspicion = suspect_observable(model.flow, broken, widths, names)
            found["channels"] += 1
            found["wide"] += len(wide) > 0
            found["widest"] += len(wide) > 0 and wide[0] == k
            found[_verdict(suspicion.explanations, names[k])] += 1
    for name, count in found.items():
        print(f"{name:<12} {count}")


def _verdict(explanations: tuple[str, ...], truth: str) -> str:
    """Say whether the broken channel was named."""
    if not explanations:
        return "none"
    if len(explanations) > 1:
        return "among several" if truth in explanations else "wrong"
    return "named" if explanations[0] == truth else "wrong"


if __name__ == "__main__":
    main()
