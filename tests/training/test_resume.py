"""Seeds and interruptions: what is repeated, and what goes on bit for bit."""

from dataclasses import replace

import pytest

from lfi_mflow.errors import Interrupted
from lfi_mflow.training import (
    CheckpointFile,
    History,
    fit,
)


def test_soap_goes_on_from_a_checkpoint(make_flow, make_resident, phases, stop, tmp_path, same_run):
    phases = [replace(phase, optimiser="soap") for phase in phases]
    undisturbed = make_flow()
    expected = fit(undisturbed, phases, make_resident(400), seed=0)
    checkpoints = CheckpointFile(tmp_path / "run.ckpt", {})
    run = {"seed": 0, "checkpoints": checkpoints}
    with pytest.raises(Interrupted):
        fit(make_flow(), phases, make_resident(400), progress=stop("chart", 8), **run)
    resumed = make_flow(seed=9)
    history = fit(resumed, phases, make_resident(400), **run)
    same_run((resumed, history.to_table()), (undisturbed, expected.to_table()))


def test_equal_seeds_give_equal_results(make_flow, make_resident, phases, same_weights):
    flows, histories = [make_flow() for _ in range(3)], []
    for flow, seed in zip(flows, (1, 1, 2), strict=True):
        histories.append(fit(flow, phases, make_resident(400), seed=seed))
    assert same_weights(flows[0].state_dict(), flows[1].state_dict())
    assert not same_weights(flows[0].state_dict(), flows[2].state_dict())
    assert histories[0].phases[1].epochs[-1].train == histories[1].phases[1].epochs[-1].train


def test_an_interrupt_says_what_is_kept(make_flow, make_resident, phases, stop, tmp_path):
    with pytest.raises(Interrupted, match="'latent' after 2 of 4 epochs; nothing is saved"):
        fit(make_flow(), phases, make_resident(400), seed=0, progress=stop("latent", 12))
    checkpoints = CheckpointFile(tmp_path / "run.ckpt", {})
    with pytest.raises(Interrupted, match="'chart' after 1 of 3 epochs; the finished ones are"):
        fit(
            make_flow(),
            phases,
            make_resident(400),
            seed=0,
            checkpoints=checkpoints,
            progress=stop("chart", 8),
        )
    assert [len(p["epochs"]) for p in checkpoints.load().history["phases"]] == [1]


@pytest.mark.parametrize(
    "at",
    [("chart", 3), ("chart", 8), ("chart", 10, True), ("latent", 1), ("latent", 12)],
    ids=str,
)
def test_a_resumed_run_is_the_undisturbed_one(
    make_flow, make_resident, phases, stop, tmp_path, same_run, at
):
    undisturbed = make_flow()
    expected = fit(undisturbed, phases, make_resident(400), seed=0)
    checkpoints = CheckpointFile(tmp_path / "run.ckpt", {})
    with pytest.raises(Interrupted):
        fit(
            make_flow(),
            phases,
            make_resident(400),
            seed=0,
            checkpoints=checkpoints,
            progress=stop(*at),
        )
    # other weights than those of the start: all must come from the checkpoint, if there is one
    resumed = make_flow(seed=9 if checkpoints.exists() else 0)
    assert checkpoints.exists() == (at != ("chart", 3))
    history = fit(resumed, phases, make_resident(400), seed=0, checkpoints=checkpoints)
    same_run((resumed, history.to_table()), (undisturbed, expected.to_table()))
    assert History.from_table(checkpoints.load().history) == history
