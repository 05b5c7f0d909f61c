"""Estimate the dimension of one manifold of the study.

::

    python measure.py --manifold sphere -n 10 -d 100 --size 50000 -o sphere-10-100.json
    python measure.py --events higgs-eft.h5 -n 14 -o higgs-eft.json

The record has the answer, every estimate with its seconds, and the true n.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

from manifolds import draw

from lfi_mflow.geometry import weigh
from lfi_mflow.geometry.points import Points, prepare_points
from lfi_mflow.training import DIMENSION_ESTIMATORS, read_points


def measure(points: Points, methods: list[str], seed: int) -> dict[str, object]:
    """Run the estimators one by one, and weigh them."""
    estimates, seconds = [], {}
    for name in methods:
        start = time.process_time()
        estimates.append(DIMENSION_ESTIMATORS[name](seed).estimate(points))
        seconds[name] = time.process_time() - start
    return {**weigh(points, estimates).to_table(), "cpu_seconds": seconds}


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--manifold")
    parser.add_argument("--events", type=Path)
    parser.add_argument("-n", type=int, required=True)
    parser.add_argument("-d", type=int)
    parser.add_argument("--size", type=int, default=50_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--methods", default="pca,two-nn,mle,relations")
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    if options.events is None:
        x = draw(options.manifold, options.n, options.d, options.size, options.seed)
        points, label = prepare_points(x), options.manifold
    else:
        points, label = read_points(options.events, options.size), options.events.stem
    record = measure(points, options.methods.split(","), options.seed)
    head = {"manifold": label, "n": options.n, "seed": options.seed}
    options.output.write_text(json.dumps({**head, **record}, indent=1) + "\n")


if __name__ == "__main__":
    main()
