"""What does a compiled loss cost, and what does it save?

Steps of training with the loss as it is and compiled, in turns, and the seconds of the first
compiled step, whose compiler finds nothing that it has made before. A training pays for it
that takes more steps than ``steps_to_pay``.
"""

import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from measuring import scaled, turns
from original import PROBLEMS, build, training_step

from lfi_mflow.flows import build_flow
from lfi_mflow.training.compilation import compiled

STUDY = {
    "chart": {"layers": 1, "bins": 2, "hidden": 256, "blocks": 3, "rank": 30},
    "latent": {"transforms": 3, "bins": 8, "hidden": 256, "components": 4},
}
"""The M-flow of the Higgs study: few layers, wide networks."""
FLOWS = {
    "d3-default": lambda: build(PROBLEMS["d3"], "default"),
    "d3-published": lambda: build(PROBLEMS["d3"]),
    "d40-study": lambda: build_flow("m-flow", PROBLEMS["d40"].dimensions, STUDY),
}


@pytest.mark.parametrize("batch", [250, 1000])
@pytest.mark.parametrize("phase", ["manifold", "density"])
@pytest.mark.parametrize("name", FLOWS)
def test_compilation(
    benchmark: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    phase: str,
    batch: int,
) -> None:
    """Steps of one phase."""
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    torch.compiler.reset()
    plain, fast = (
        training_step(FLOWS[name](), phase, scaled(batch, least=20), compiler=compiler)
        for compiler in (None, partial(compiled, device=torch.device("cpu")))
    )
    start = time.perf_counter()
    fast()
    first = time.perf_counter() - start
    seconds = turns({"plain": plain, "compiled": fast}, rounds=21, least=4.0)
    saved = seconds["plain"] - seconds["compiled"]
    benchmark.extra_info |= {
        "median_seconds": seconds,
        "times_faster": seconds["plain"] / seconds["compiled"],
        "seconds_of_the_first_step": first,
        "steps_to_pay": first / saved if saved > 0.0 else None,
    }
    benchmark.pedantic(fast, rounds=5)
