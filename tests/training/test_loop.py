"""The optimisation loop: what trains, what is kept, what is weighted, what stops it."""

import copy
import dataclasses
import math

import pytest
import torch

from lfi_mflow.errors import DataError, Interrupted, TrainingError
from lfi_mflow.flows import Dimensions, LatentFlow, build_flow
from lfi_mflow.training import (
    OBJECTIVES,
    CheckpointFile,
    LatentLikelihood,
    Likelihood,
    Phase,
    TrainingEvents,
    fit,
)
from lfi_mflow.training.events import Batch, PreparedEvents
from lfi_mflow.training.phases import learning_rate_factor


class FixedEvents(TrainingEvents, PreparedEvents):
    """Given training and validation events, in one batch each."""

    def __init__(self, train, validation):
        self.train, self.held = train, validation
        self.n_train, self.n_validation = len(train.theta), len(validation.theta)

    def moments(self):
        # the first axis is a, so that the latent depends on theta with its sign
        return torch.tensor([0.0, 4.0]).double(), torch.diag(torch.tensor([4.0, 1.0]).double())

    def theta_moments(self):
        return self.train.theta.mean(dim=0), self.train.theta.std(dim=0)

    def validation_events(self):
        yield self.held

    def prepare(self, function):
        train, held = (
            b._replace(prepared=function(b.prepared, b.theta)) for b in (self.train, self.held)
        )
        return FixedEvents(*(b._replace(prepared=b.prepared.detach()) for b in (train, held)))

    def steps(self, batch_size):
        return 1

    def training(self, batch_size, seed):
        yield self.train

    def validation(self, batch_size):
        yield self.held

    def some(self):
        return self.train


def _state(flow):
    return copy.deepcopy(flow.state_dict())


def _changed(before, after, part):
    return {name for name in before if not torch.equal(before[name], after[name])} & {
        name for name in before if name.startswith(part)
    }


# -- what trains


def test_each_phase_trains_its_part_and_nothing_else(make_flow, make_resident, phases):
    flow, events = make_flow(), make_resident(400)
    start = _state(flow)
    fit(flow, phases[:1], events, seed=0)
    after_chart = _state(flow)
    assert not _changed(start, after_chart, "latent.")
    weights = {f"chart.{name}" for name, _ in flow.chart.named_parameters()}
    assert _changed(start, after_chart, "chart.") == weights
    assert _changed(start, after_chart, "standardisation.")

    flow = make_flow()
    fit(flow, phases, events, seed=0)
    after_both = _state(flow)
    # the first phase of two is the one phase of before, and the second leaves it alone
    assert not _changed(after_chart, after_both, ("chart.", "standardisation."))
    assert _changed(after_chart, after_both, "latent.flow.")
    assert _changed(after_chart, after_both, "latent.u_")
    assert not flow.training


def test_the_phases_reduce_their_losses(make_flow, make_resident, phases):
    events, plane = make_resident(2000), make_flow()
    plane.standardisation.fit(*events.moments(), ["a", "b"])
    start = _validation_loss(plane, phases[0], events)
    chart, latent = fit(make_flow(), phases, events, seed=0, units=["a", "b"]).phases
    assert chart.epochs[chart.best_epoch].validation < 0.5 * start
    assert latent.epochs[-1].validation < latent.epochs[0].validation - 0.05


def test_the_latents_are_standardised_before_the_density_trains(make_flow, make_resident, phases):
    flow, events = make_flow(), make_resident(400)
    fit(flow, phases, events, seed=0)
    u = events.prepare(flow.encode).some().prepared
    torch.testing.assert_close(flow.latent.u_mean, u.mean(dim=0))
    torch.testing.assert_close(flow.latent.u_scale, u.std(dim=0))


def test_history_and_progress(make_flow, make_resident, phases, stop):
    calls = []
    history = fit(make_flow(), phases, make_resident(400), seed=0, progress=calls.append)
    assert [phase.name for phase in history.phases] == ["chart", "latent"]
    assert [len(phase.epochs) for phase in history.phases] == [3, 4]
    for phase, setting in zip(history.phases, phases, strict=True):
        steps = 5 * setting.epochs
        mine = [call for call in calls if call.phase == phase.name]
        batches = [call for call in mine if not call.epoch_ended]
        assert [call.step for call in batches] == list(range(1, steps + 1))
        assert all(call.steps == steps for call in mine)
        for i, call in enumerate(batches):
            factor = learning_rate_factor(i / steps, setting.warm_up)
            assert call.learning_rate == setting.learning_rate * factor
        ends = [call for call in mine if call.epoch_ended]
        for i, (record, end) in enumerate(zip(phase.epochs, ends, strict=True)):
            assert record.epoch == i
            assert (end.step, end.validation) == (5 * (i + 1), record.validation)
            assert record.learning_rate == batches[5 * i + 4].learning_rate
            losses = [call.loss for call in batches[5 * i : 5 * i + 5]]
            assert record.train == pytest.approx(sum(losses) / 5, rel=1e-12)
            assert record.seconds > 0
        assert math.isnan(mine[0].validation)


def test_progress_is_told_now_and_then_only(make_flow, make_resident, phases):
    calls = []
    fit(make_flow(), phases, make_resident(400), seed=0, progress=calls.append)
    assert sum(call.epoch_ended for call in calls) == 7
    assert len(calls) < 7 + 35  # not at every step


def test_gradients_are_clipped(make_flow, make_resident, phases, monkeypatch):
    """Before each step of the optimiser the norm is at most the limit."""
    norms = []
    flow = make_flow()
    step = torch.optim.AdamW.step

    def noted(self, *arguments, **options):
        gradients = [p.grad.norm() for p in flow.latent.parameters() if p.grad is not None]
        norms.append(torch.stack(gradients).norm().item())
        return step(self, *arguments, **options)

    monkeypatch.setattr(torch.optim.AdamW, "step", noted)
    phase = dataclasses.replace(phases[1], clip=1e-2)
    fit(flow, [phase], make_resident(400), seed=0)
    assert max(norms) <= 1e-2 * (1 + 1e-6)
    assert min(norms) > 1e-3


def test_the_latents_are_standardised_once(make_flow, make_resident, phases, monkeypatch):
    """A second time would move the splines and the base away from what they have learnt."""
    calls = []
    original = LatentFlow.standardise

    def noted(self, u, theta, weight=None):
        calls.append(u)
        original(self, u, theta, weight)

    monkeypatch.setattr(LatentFlow, "standardise", noted)
    flow, events = make_flow(), make_resident(400)
    rounds = [
        dataclasses.replace(phase, name=f"{phase.name} {index}")
        for index in range(3)
        for phase in phases
    ]
    history = fit(flow, rounds, events, seed=0)
    assert len(calls) == 1
    torch.testing.assert_close(flow.latent.u_mean, calls[0].mean(dim=0))
    assert (events.prepare(flow.encode).some().prepared - calls[0]).abs().max() > 1e-3
    latent = [phase.epochs for phase in history.phases[1::2]]
    # a later round goes on from what the earlier one has learnt
    assert latent[2][-1].validation < latent[0][0].validation


@pytest.mark.parametrize("at", [("latent 0", 2), ("chart 1", 7), ("latent 1", 9)], ids=str)
def test_rounds_are_resumed_without_standardising_again(
    make_flow, make_resident, phases, stop, tmp_path, same_run, at
):
    rounds = [
        dataclasses.replace(phase, name=f"{phase.name} {index}", epochs=3)
        for index in range(2)
        for phase in phases
    ]
    undisturbed = make_flow()
    expected = fit(undisturbed, rounds, make_resident(400), seed=0)
    checkpoints = CheckpointFile(tmp_path / "run.ckpt", {})
    options = {"seed": 0, "checkpoints": checkpoints}
    with pytest.raises(Interrupted):
        fit(make_flow(), rounds, make_resident(400), progress=stop(*at), **options)
    resumed = make_flow(seed=9)
    history = fit(resumed, rounds, make_resident(400), **options)
    same_run((resumed, history.to_table()), (undisturbed, expected.to_table()))


@pytest.mark.parametrize("objective", ["likelihood", "penalised-likelihood"])
def test_all_parts_can_train_at_once(make_flow, make_resident, objective):
    flow, events = make_flow(), make_resident(400)
    start = _state(flow)
    (record,) = fit(
        flow, [Phase("all", objective, 3, 72, 1e-3)], events, seed=0, units=["a", "b"]
    ).phases
    weights = {name for name, _ in flow.named_parameters()}
    assert weights <= _changed(start, _state(flow), "")
    assert record.epochs[-1].validation < record.epochs[0].validation
    assert not record.diverged


# -- the best weights


@pytest.fixture
def overfit():
    """A long phase."""
    return Phase("latent", "latent-likelihood", 40, 20, 1e-2, 0.0, 0.0, 100.0, 0)


@pytest.fixture
def misleading(make_events):
    """Validation events whose theta has the other sign: what is learnt of theta is wrong there."""
    drawn = make_events(300)
    x, theta = torch.from_numpy(drawn.x), torch.from_numpy(drawn.theta)
    return FixedEvents(Batch(x[:200], theta[:200], None), Batch(x[200:], -theta[200:], None))


def _validation_loss(flow, phase, events):
    objective = phase.minimises
    with torch.no_grad():
        prepared = events.prepare(lambda x, theta: objective.prepare(flow, x, theta))
        batches = list(prepared.validation(10_000))
        losses = [objective.loss(flow, batch, torch.Generator()).mean() for batch in batches]
    assert len(losses) == 1
    return losses[0].item()


def test_the_best_weights_are_restored(make_flow, misleading, overfit):
    flow, events = make_flow(), misleading
    record = fit(flow, [overfit], events, seed=0).phases[0]
    best, last = record.epochs[record.best_epoch].validation, record.epochs[-1].validation
    assert 0 < record.best_epoch < 30
    assert best < last - 0.3
    assert _validation_loss(flow, overfit, events) == best


def test_patience_stops_the_phase(make_flow, misleading, overfit):
    whole = fit(make_flow(), [overfit], misleading, seed=0).phases[0]
    impatient = dataclasses.replace(overfit, patience=4)
    flow, events = make_flow(), misleading
    record = fit(flow, [impatient], events, seed=0).phases[0]
    assert len(record.epochs) == record.best_epoch + 5 < 40
    for mine, other in zip(record.epochs, whole.epochs, strict=False):
        assert mine.validation == other.validation
    assert _validation_loss(flow, impatient, events) == record.epochs[record.best_epoch].validation


# -- weights of events


@pytest.fixture
def weighted_and_repeated(make_events):
    """Events with whole-number weights, and the same events repeated as often."""
    drawn = make_events(60)
    x, theta = torch.from_numpy(drawn.x), torch.from_numpy(drawn.theta)
    counts = torch.arange(60) % 4
    parts = [slice(0, 40), slice(40, 60)]
    columns = {"prepared": x, "theta": theta, "score": theta.cos()}
    weighted = [
        Batch(
            weight=counts[part] / counts[part].double().mean(),
            **{name: v[part] for name, v in columns.items()},
        )
        for part in parts
    ]
    repeated = [
        Batch(**{n: v[part].repeat_interleave(counts[part], 0) for n, v in columns.items()})
        for part in parts
    ]
    return FixedEvents(*weighted), FixedEvents(*repeated)


# what draws something for each event draws another thing for each of its copies
DRAW = {"transport", "elbo", "adversarial", "free-form", "nae", "contrastive-likelihood"}
# losses of models that are no flows on a chart; for their weights see test_ratio_models.py
RATIOS = {"nre-a", "nre-c", "bnre", "alice", "alices"}
ATLAS = {"vector-quantisation", "membership"}  # those of an atlas, see test_atlas_objectives.py
TILTS = {"noise-contrast", "noise-contrast-scandal"}  # those of a ratio, see test_tilted.py


@pytest.mark.parametrize(
    "objective", [name for name in OBJECTIVES if name not in DRAW | RATIOS | ATLAS | TILTS]
)
def test_a_weight_counts_as_copies(make_flow, weighted_and_repeated, objective, monkeypatch):
    # standardisation is fitted without weights: keep it out of the comparison
    for kind in (LatentLikelihood, Likelihood):
        monkeypatch.setattr(kind, "begin", lambda *_: None)
    phase = Phase("one", objective, 3, 100, 1e-2, 0.0, 0.0, 1.0, 0)
    flows = make_flow(), make_flow()
    records = [
        fit(flow, [phase], events, seed=0).phases[0]
        for flow, events in zip(flows, weighted_and_repeated, strict=True)
    ]
    for one, two in zip(*(record.epochs for record in records), strict=True):
        assert one.train == pytest.approx(two.train, rel=1e-6)
        assert one.validation == pytest.approx(two.validation, rel=1e-6)
    states = [flow.state_dict() for flow in flows]
    for name in states[0]:
        # Adam divides by the gradient: a rounding of nothing may become a step of a tenth
        torch.testing.assert_close(states[0][name], states[1][name], rtol=1e-4, atol=1e-6)


def test_the_mean_of_losses_over_batches_is_that_of_the_weighted_events(make_flow, make_resident):
    """Not so if batches were divided by their own sums of weights."""
    weight = torch.linspace(0.0, 1.0, 220, dtype=torch.float64) ** 8
    events = make_resident(220, weight=weight)
    phase = Phase("one", "reconstruction", 1, 11, 1e-300, 0.0, 0.0, 1.0, 0)
    found = fit(make_flow(), [phase], events, seed=0).phases[0].epochs[0]
    flow = make_flow()
    fit(flow, [phase], events, seed=0)
    (held,) = events.validation_events()
    train = next(events.prepare(lambda x, theta: x).training(198, seed=0))
    for batch, loss in ((held, found.validation), (train, found.train)):
        error = flow.standardisation.inverse(batch.prepared)
        error = error - flow.chart.decode(flow.chart.encode(error))
        losses = error.square().sum(dim=-1)
        norm = batch.weight.sum() if batch is held else len(losses)
        assert loss == pytest.approx(((losses * batch.weight).sum() / norm).item(), rel=1e-9)


def test_a_batch_without_weight_does_no_harm(make_flow, make_resident):
    weight = torch.zeros(220, dtype=torch.float64)
    weight[::10] = 1.0
    phase = Phase("one", "reconstruction", 2, 5, 1e-2, 0.0, 0.0, 1.0, 0)
    record = fit(make_flow(), [phase], make_resident(220, weight=weight), seed=0).phases[0]
    assert all(math.isfinite(epoch.train) for epoch in record.epochs)


def test_validation_events_without_weight_are_refused(make_flow, make_resident):
    events = make_resident(220, weight=torch.ones(220, dtype=torch.float64))
    for batch in events.validation_events():
        held = batch.theta
    rows = (events._events.theta == held.T).any(dim=1)
    without = make_resident(220, weight=(~rows).double())
    phase = Phase("one", "reconstruction", 1, 50)
    with pytest.raises(DataError, match="validation events of positive weight, found 22"):
        fit(make_flow(), [phase], without, seed=0)


def test_weights_change_the_result(make_flow, weighted_and_repeated):
    weighted = weighted_and_repeated[0]
    plain = FixedEvents(*(b._replace(weight=None) for b in (weighted.train, weighted.held)))
    phase = Phase("one", "reconstruction", 1, 100, 1e-2, 0.0, 0.0, 1.0, 0)
    first, second = (fit(make_flow(), [phase], e, seed=0).phases[0] for e in (weighted, plain))
    assert first.epochs[0].train != pytest.approx(second.epochs[0].train, rel=1e-3)


# -- what is not finite


def faulty(fault, at):
    """A likelihood that spoils one step, in its loss or in its gradient, or the validation."""
    steps = []

    class Faulty(LatentLikelihood):
        def loss(self, flow, batch, generator):
            losses = super().loss(flow, batch, generator)
            if not torch.is_grad_enabled():
                spoil = fault == "validation" and len(steps) > at
                return losses + math.inf if spoil else losses
            steps.append(None)
            if len(steps) == at and fault == "loss":
                return losses * math.nan
            if len(steps) == at and fault == "gradient":
                return losses + (0 * losses).sqrt()  # zero, with an infinite slope
            return losses

    return Faulty


@pytest.mark.parametrize("fault", ["loss", "gradient"])
def test_a_step_that_is_not_finite_is_named(
    make_flow, make_resident, phases, tmp_path, monkeypatch, fault
):
    monkeypatch.setitem(OBJECTIVES, "latent-likelihood", faulty(fault, 2 * 5 + 3))
    checkpoints = CheckpointFile(tmp_path / "run.ckpt", {"seed": 0})
    where = r"phase 'latent' at step 13 \(epoch 3, batch 3 of 5\); epoch 2 was the last good one"
    with pytest.raises(TrainingError, match=where) as caught:
        fit(make_flow(), phases, make_resident(400), seed=0, checkpoints=checkpoints)
    assert ("found loss nan" in str(caught.value)) == (fault == "loss")
    assert "gradient norm nan" in str(caught.value)
    state = checkpoints.load()
    assert state.phase == 1
    assert [len(phase["epochs"]) for phase in state.history["phases"]] == [3, 2]
    for tensors in (state.flow, state.best):
        assert all(value.isfinite().all() for value in tensors.values())
    # it is a state to go on from
    monkeypatch.setitem(OBJECTIVES, "latent-likelihood", LatentLikelihood)
    flow = make_flow(seed=9)
    history = fit(flow, phases, make_resident(400), seed=0, checkpoints=checkpoints)
    assert [len(phase.epochs) for phase in history.phases] == [3, 4]


@pytest.mark.parametrize("fault", ["loss", "gradient"])
def test_one_step_in_a_hundred_is_left_out_and_counted(
    make_flow, make_resident, monkeypatch, fault
):
    phase = Phase("latent", "latent-likelihood", 1, batch_size=5, learning_rate=1e-2)
    flow = make_flow()
    monkeypatch.setitem(OBJECTIVES, "latent-likelihood", faulty(fault, 40))
    (record,) = fit(flow, [phase], make_resident(556), seed=0).phases
    assert record.epochs[0].skipped == 1
    assert math.isfinite(record.epochs[0].train)
    assert all(value.isfinite().all() for value in flow.state_dict().values())
    monkeypatch.setitem(OBJECTIVES, "latent-likelihood", LatentLikelihood)
    (whole,) = fit(make_flow(), [phase], make_resident(556), seed=0).phases
    assert whole.epochs[0].skipped == 0
    assert record.epochs[0].validation == pytest.approx(whole.epochs[0].validation, rel=0.1)


def test_a_validation_loss_that_is_not_finite(make_flow, make_resident, phases, monkeypatch):
    monkeypatch.setitem(OBJECTIVES, "latent-likelihood", faulty("validation", 9))
    match = r"finite validation loss, found inf in phase 'latent' after epoch 2; epoch 1 was"
    with pytest.raises(TrainingError, match=match):
        fit(make_flow(), phases, make_resident(400), seed=0)


def test_a_failure_in_the_first_epoch(make_flow, make_resident, phases, monkeypatch):
    monkeypatch.setitem(OBJECTIVES, "latent-likelihood", faulty("loss", 1))
    with pytest.raises(TrainingError, match=r"step 1 \(epoch 1, batch 1 of 5\); no epoch of it"):
        fit(make_flow(), phases[1:], make_resident(400), seed=0)


class Unbounded(Likelihood):
    """A likelihood that ends where that of a manifold may end."""

    def loss(self, flow, batch, generator):
        return super().loss(flow, batch, generator) * math.nan


@pytest.mark.parametrize(
    ("model", "n", "advice"),
    [("m-flow", 1, 'has no maximum; train with algorithm = "sequential"'), ("af", 2, "lower the")],
)
def test_a_likelihood_that_diverges_says_why(make_resident, monkeypatch, model, n, advice):
    monkeypatch.setitem(OBJECTIVES, "likelihood", Unbounded)
    flow = build_flow(model, Dimensions(2, n, 1), {"latent": {"hidden": 8}}).double()
    with pytest.raises(TrainingError, match=advice):
        fit(flow, [Phase("all", "likelihood", 2)], make_resident(100), seed=0)


# -- the order of events


def test_every_epoch_of_every_phase_has_its_own_order(
    make_flow, weighted_and_repeated, phases, monkeypatch
):
    orders = []
    original = FixedEvents.training

    def noted(self, batch_size, seed):
        orders.append(seed)
        return original(self, batch_size, seed)

    monkeypatch.setattr(FixedEvents, "training", noted)
    for seed in (3, 3, 4):
        fit(make_flow(), phases, weighted_and_repeated[1], seed=seed)
    assert orders[:7] == orders[7:14]
    assert len(set(orders)) == 14
