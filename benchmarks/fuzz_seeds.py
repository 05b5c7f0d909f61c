"""One small, valid file of every format that lfi-mflow reads: what the fuzzer starts from."""

from __future__ import annotations

from pathlib import Path

import awkward as ak
import h5py
import numpy as np
import pyarrow.parquet
import torch
import uproot

from lfi_mflow.closure import ClosureReport
from lfi_mflow.closure.record import Metric
from lfi_mflow.data import EventMetadata, open_observed, write_events
from lfi_mflow.flows import Dimensions, Model, ModelMetadata, build_flow, save_model
from lfi_mflow.inference import Limits, Posterior, write_scores
from lfi_mflow.inference.observed import ObservedEvents
from lfi_mflow.simulation import Events, Observable, Parameter

__all__ = ["write_seeds"]

LHE = """<LesHouchesEvents version="3.0">
<init>
2212 2212 6.5e+03 6.5e+03 0 0 247000 247000 -4 1
5.0e+01 1.0e-01 5.0e+01 1
</init>
"""
LHE_EVENT = """<event>
 4 7 0.5 91.2 0.0078 0.118
 2 -1 0 0 0 0 0.0 0.0 500.0 500.0 0.0 0.0 9.0
 -2 -1 0 0 0 0 0.0 0.0 -400.0 400.0 0.0 0.0 9.0
 13 1 1 2 0 0 30.0 40.0 0.0 50.0 0.0 0.0 9.0
 -13 1 1 2 0 0 -30.0 -40.0 12.0 51.4 0.0 0.0 9.0
<rwgt>
<wgt id='sm'>1.0</wgt>
</rwgt>
</event>
"""
TOML = """
model = "m-flow"
latent_dim = 2
[settings.latent]
hidden = 8
[[phases]]
name = "chart"
objective = "reconstruction"
epochs = 2
"""


def write_seeds(folder: Path) -> dict[str, Path]:
    """Write one file of each kind into a folder and return them by kind."""
    rng = np.random.default_rng(1)
    x, theta = rng.normal(size=(50, 3)), rng.uniform(-1, 1, size=(50, 1))
    metadata = EventMetadata(
        (Parameter("theta", -1.0, 1.0),), tuple(Observable(name) for name in "abc"), 2
    )
    paths = {
        kind: folder / f"seed.{ending}"
        for kind, ending in {
            "events": "h5",
            "model": "mflow",
            "posterior": "nc",
            "scores": "scores.h5",
            "closure": "closure.json",
            "limits": "limits.json",
            "config": "toml",
            "root": "root",
            "parquet": "parquet",
            "lhe": "lhe",
            "madminer": "madminer.h5",
        }.items()
    }
    events = Events(theta=theta, x=x, weight=np.ones(50))
    write_events(paths["events"], metadata, [events], force=True)
    _write_results(paths, metadata, x)
    paths["config"].write_text(TOML)
    table = {"a": x[:, 0], "b": x[:, 1], "c": x[:, 2]}
    with uproot.recreate(paths["root"]) as file:
        jagged = ak.Array([[1.0] * (i % 3) for i in range(50)])
        types = dict.fromkeys(table, np.dtype("f8"))
        file.mktree("events", types | {"jagged": "var * float64"})
        file["events"].extend({**table, "jagged": jagged})
    pyarrow.parquet.write_table(pyarrow.table(table), paths["parquet"])
    paths["lhe"].write_text(LHE + 3 * LHE_EVENT + "</LesHouchesEvents>\n")
    _write_madminer(paths["madminer"], x)
    return paths


def _write_results(paths: dict[str, Path], metadata: EventMetadata, x: np.ndarray) -> None:
    """Write a model, and what is made with one."""
    settings = {"latent": {"hidden": 8, "transforms": 1}, "chart": {"hidden": 8, "layers": 1}}
    dimensions = Dimensions(3, 2, 1)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        flow = build_flow("m-flow", dimensions, settings).eval()
    training = {"n_validation": 5, "distance_quantiles": np.linspace(0, 1, 1001).tolist()}
    model = Model(flow, ModelMetadata("m-flow", dimensions, settings, metadata, "0", 50, training))
    save_model(model, paths["model"])
    source = open_observed(paths["events"], None, ("a", "b", "c"))
    write_scores(model, source, paths["scores"], force=True)
    draws = np.random.default_rng(2).normal(size=(4, 50, 1))
    data = ObservedEvents(x.astype(np.float32), ("a", "b", "c"), 0.5)
    names = ("mean", "sd", "q16", "q50", "q84", "r_hat", "ess", "ess_bulk", "ess_tail")
    statistics = {"theta": dict.fromkeys(names, 1.0)}
    posterior = Posterior(("theta",), draws, draws[..., 0], "mcmc", statistics, data)
    posterior.save(paths["posterior"])
    metric = Metric.judged(0.1, 0.01, None)
    curves = {"sbc": {"ranks": [[1], [2]], "n_draws": 10}}
    ClosureReport({"reconstruction_error": metric}, {}, curves).save(paths["closure"])
    row = {"best_fit": 0.1, "error": 0.2, "values": [0.0, 1.0], "statistic": [0.0, 1.0]}
    Limits({"theta": row}, data={"events": 50}).save(paths["limits"])


def _write_madminer(path: Path, x: np.ndarray) -> None:
    """Write a sample as MadMiner does."""
    datasets = {
        "parameters/names": np.array([b"kappa"], dtype="S256"),
        "parameters/lha_blocks": np.array([b"dim6"], dtype="S256"),
        "parameters/lha_ids": np.array([2]),
        "parameters/max_power": np.array([1]),
        "parameters/val_ranges": np.array([[-10.0, 10.0]]),
        "parameters/transforms": np.array([b"None"], dtype="S256"),
        "benchmarks/names": np.array([b"sm"], dtype="S256"),
        "benchmarks/values": np.zeros((1, 1)),
        "benchmarks/is_nuisance": np.zeros(1, dtype=int),
        "benchmarks/is_reference": np.ones(1, dtype=int),
        "observables/names": np.array([b"a", b"b", b"c"], dtype="S256"),
        "observables/definitions": np.array([b"a", b"b", b"c"], dtype="S256"),
        "samples/observations": x,
        "samples/weights": np.ones((len(x), 1)),
        "samples/sampling_benchmarks": np.zeros(len(x), dtype=int),
    }
    with h5py.File(path, "w") as file:
        for key, value in datasets.items():
            file.create_dataset(key, data=value)
