"""Training events: moments, splits and batches, in memory and from a file."""

import numpy as np
import pytest
import torch

from lfi_mflow.data import EventFile, EventMetadata
from lfi_mflow.errors import DataError
from lfi_mflow.simulation import Events, Observable, Parameter
from lfi_mflow.training import ResidentEvents, StreamedEvents, events, streamed_events
from lfi_mflow.training.events import check_events, finite_rows

DOUBLE = {"dtype": torch.float64, "device": torch.device("cpu")}


def _same(x, theta):
    return x


@pytest.fixture(params=["resident", "streamed"])
def load(request):
    """A function that opens the events of a file in one of the two ways."""

    def opened(file, fraction=0.25):
        if request.param == "streamed":
            return StreamedEvents(file, validation_fraction=fraction, **DOUBLE)
        return ResidentEvents.read(file, validation_fraction=fraction, seed=3, **DOUBLE)

    return opened


@pytest.fixture
def block_size(monkeypatch):
    """A function that sets how many events are read at a time."""

    def change(size):
        for module in (events, streamed_events):
            monkeypatch.setattr(module, "_BLOCK", size)

    return change


def _rows(batches):
    """The first features of all batches, sorted."""
    return np.sort(torch.cat([batch.prepared[:, 0] for batch in batches]).numpy())


def test_events_of_one_theta_stay_together():
    x = torch.arange(60.0, dtype=torch.float64).reshape(20, 3, 1)
    theta = x[:, 0]
    loaded = ResidentEvents(x, theta, validation_fraction=0.25, seed=1)
    assert (loaded.n_train, loaded.n_validation) == (45, 15)
    held_out = next(loaded.validation_events())
    groups = held_out.prepared.reshape(5, 3)
    assert torch.equal(groups, groups[:, :1] + torch.arange(3))
    assert torch.equal(held_out.theta.reshape(5, 3), groups[:, :1].expand(5, 3))
    trained = _rows(loaded.prepare(_same).training(45, seed=0))
    assert not set(trained) & set(groups.flatten().tolist())


def test_every_event_is_in_one_part(load, path, make_events, block_size):
    block_size(64)  # many blocks
    everything = np.sort(make_events(400).x[:, 0])
    with EventFile(path) as file:
        loaded = load(file)
        assert (loaded.n_train, loaded.n_validation) == (300, 100)
        prepared = loaded.prepare(_same)
        train = _rows(prepared.training(30, seed=0))
        validation = _rows(prepared.validation(64))
        blocks = np.sort(torch.cat([b.prepared for b in loaded.validation_events()])[:, 0].numpy())
    assert len(train) == 300
    assert np.array_equal(np.sort(np.concatenate([train, validation])), everything)
    assert np.array_equal(validation, blocks)


def test_batches_are_equal_seeded_and_belong_together(load, path):
    with EventFile(path) as file:
        prepared = load(file).prepare(lambda x, theta: 2 * x)
        assert prepared.steps(70) == 4
        batches = list(prepared.training(70, seed=1))
        again = list(prepared.training(70, seed=1))
        other = list(prepared.training(70, seed=2))
    assert [len(batch.theta) for batch in batches] == [70] * 4
    for one, two, three in zip(batches, again, other, strict=True):
        assert torch.equal(one.prepared, two.prepared)
        assert torch.equal(one.theta, two.theta)
        assert not torch.equal(one.prepared, three.prepared)
        # b = 10 a^2: rows of x are whole; theta is near a
        assert torch.allclose(one.prepared[:, 1], 20 * (one.prepared[:, 0] / 2) ** 2)
        assert (one.theta[:, 0] - one.prepared[:, 0] / 2).abs().max() < 2.5
        assert one.weight is None


def test_a_batch_larger_than_the_file_is_one_batch(load, path):
    with EventFile(path) as file:
        prepared = load(file).prepare(_same)
        assert prepared.steps(10_000) == 1
        assert [len(batch.theta) for batch in prepared.training(10_000, seed=0)] == [300]


def test_some_are_training_events(load, path):
    with EventFile(path) as file:
        prepared = load(file).prepare(_same)
        some = prepared.some()
        assert np.isin(some.prepared[:, 0], _rows(prepared.training(300, seed=0))).all()
        assert len(some.theta) == 300


def test_moments_agree_with_numpy_at_a_large_offset(load, write, make_events, block_size):
    """Squares of 1e7 would leave no digit of a variance of 1; blocks of odd sizes are merged."""
    block_size(77)
    drawn = make_events(1000)
    shifted = Events(drawn.theta, drawn.x + np.array([1e7, -1e6]))
    with EventFile(write(shifted)) as file:
        mean, covariance = load(file).moments()
    assert mean.dtype == covariance.dtype == torch.float64
    np.testing.assert_allclose(mean, shifted.x.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(covariance, np.cov(shifted.x.T), rtol=1e-7)


def test_weights_stay_with_their_events_and_have_a_mean_of_one(load, write, make_events):
    weight = make_events(400).x[:, 0] ** 2
    with EventFile(write(make_events(400, weight=weight))) as file:
        prepared = load(file).prepare(_same)
        for batch in [*prepared.training(50, seed=0), *prepared.validation(64), prepared.some()]:
            torch.testing.assert_close(batch.weight, batch.prepared[:, 0] ** 2 / weight.mean())


@pytest.mark.parametrize("streamed", [False, True])
def test_weights_can_be_left_out(write, make_events, streamed):
    drawn = make_events(400, weight=np.linspace(-1.0, 2.0, 400))
    with EventFile(write(drawn)) as file:
        where = {"validation_fraction": 0.25, "columns": ("theta", "x"), **DOUBLE}
        loaded = StreamedEvents(file, **where)
        if not streamed:
            loaded = ResidentEvents.read(file, seed=3, **where)
        mean, covariance = loaded.moments()
        prepared = loaded.prepare(_same)
        assert all(batch.weight is None for batch in prepared.training(50, seed=0))
        assert prepared.some().weight is None
    np.testing.assert_allclose(mean, drawn.x.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(covariance, np.cov(drawn.x.T), rtol=1e-12)


def test_no_events_are_all_finite(make_events):
    assert finite_rows(make_events(0, weight=np.zeros(0), score=np.zeros((0, 1)))).shape == (0,)


def test_each_column_says_whether_an_event_is_finite(make_events):
    weight, score = np.ones(4), np.ones((4, 1))
    weight[1], score[3] = np.nan, np.inf
    drawn = make_events(4, weight=weight, score=score)
    drawn.x[0, 1] = np.nan
    assert finite_rows(drawn).tolist() == [False, False, True, False]


def test_what_training_does_not_read_drops_no_event(load, write, make_events):
    drawn = make_events(400, components=np.full((400, 3), np.nan), latent=np.full((400, 1), np.nan))
    with EventFile(write(drawn)) as file:
        loaded = load(file)
        assert loaded.n_train + loaded.n_validation == 400


def test_weighted_moments_are_those_of_copies(load, write, make_events, block_size):
    block_size(64)
    drawn = make_events(400, weight=np.arange(400) % 4.0)
    copies = np.repeat(np.arange(400), np.arange(400) % 4)
    with EventFile(write(drawn)) as file:
        loaded = load(file)
        mean, covariance = loaded.moments()
        theta_mean, theta_spread = loaded.theta_moments()
    np.testing.assert_allclose(mean, drawn.x[copies].mean(axis=0), rtol=1e-12)
    # beside the correction for the mean, which is that of the weights, 1.5 times larger
    shape = covariance / covariance[0, 0]
    expected = np.cov(drawn.x[copies].T)
    np.testing.assert_allclose(shape, expected / expected[0, 0], rtol=1e-10)
    np.testing.assert_allclose(covariance, expected, rtol=0.003)
    np.testing.assert_allclose(theta_mean, drawn.theta[copies].mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(theta_spread, drawn.theta[copies].std(axis=0), rtol=0.003)


def test_log_ratios_stay_with_their_events(load, write, make_events):
    log_ratio = make_events(400).x[:, 0] ** 2
    log_ratio[3] = np.nan  # left out, as one with a feature that is not finite
    with EventFile(write(make_events(400, log_ratio=log_ratio))) as file:
        loaded = load(file)
        assert loaded.n_train + loaded.n_validation == 399
        for batch in loaded.prepare(_same).training(30, seed=0):
            torch.testing.assert_close(batch.log_ratio, batch.prepared[:, 0] ** 2)
            assert torch.equal(batch.take(torch.tensor([2])).log_ratio, batch.log_ratio[2:3])
            assert batch.score is None


def test_scores_stay_with_their_events(load, write, make_events):
    score = make_events(400).x[:, :1] ** 2
    with EventFile(write(make_events(400, score=score))) as file:
        prepared = load(file).prepare(_same)
        for batch in [*prepared.training(50, seed=0), *prepared.validation(64), prepared.some()]:
            torch.testing.assert_close(batch.score, batch.prepared[:, :1] ** 2)


def test_moments_of_the_parameters(load, write, make_events, block_size):
    block_size(64)
    drawn = make_events(400)
    both = np.stack([1e6 + drawn.theta[:, 0], np.full(400, 7.0)], axis=1)
    metadata = EventMetadata(
        parameters=(Parameter("a"), Parameter("b")), observables=(Observable("x"), Observable("y"))
    )
    with EventFile(write(Events(both, drawn.x), about=metadata)) as file:
        mean, spread = load(file).theta_moments()
    np.testing.assert_allclose(mean, both.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(spread, [drawn.theta.std(ddof=1), 1.0], rtol=1e-6)


@pytest.fixture
def holed(make_events):
    """Events with NaN in a third of the rows, in x, theta and weight, and their good rows."""
    drawn = make_events(400, weight=np.ones(400))
    drawn.x[5:60, 0] = np.nan
    drawn.theta[100:150] = np.inf
    drawn.weight[390:] = np.nan
    good = np.ones(400, dtype=bool)
    good[np.r_[5:60, 100:150, 390:400]] = False
    return drawn, good


def test_events_that_are_not_finite_are_left_out(load, write, holed, block_size):
    block_size(16)  # with blocks where nothing is left
    drawn, good = holed
    with EventFile(write(drawn)) as file:
        loaded = load(file)
        assert loaded.n_train + loaded.n_validation == good.sum()
        assert loaded.n_validation == round(0.25 * good.sum())
        prepared = loaded.prepare(_same)
        training = list(prepared.training(20, seed=0))
        assert [len(batch.theta) for batch in training] == [20] * prepared.steps(20)
        batches = [*training, *prepared.validation(64)]
        mean, covariance = loaded.moments()
        validation = sum(len(batch.theta) for batch in prepared.validation(64))
    assert validation == loaded.n_validation
    for batch in batches:
        assert len(batch.theta)
        assert all(values.isfinite().all() for values in batch if torch.is_tensor(values))
    np.testing.assert_allclose(mean, drawn.x[good].mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(covariance, np.cov(drawn.x[good].T), rtol=1e-12)


def test_what_is_not_finite_is_named(write, holed):
    path = write(holed[0])
    with EventFile(path) as file:
        with pytest.raises(
            DataError, match=r"50 in theta, 55 in a, 10 in weight.*--drop-nonfinite"
        ):
            check_events(file, drop_nonfinite=False)
        assert check_events(file, drop_nonfinite=True) == {"theta": 50, "a": 55, "weight": 10}


@pytest.mark.parametrize(("n", "bad"), [(19, 0), (100, 90), (30, 30)])
def test_too_few_events(write, make_events, n, bad):
    drawn = make_events(n)
    drawn.x[:bad, 1] = np.nan
    path = write(drawn)
    with EventFile(path) as file, pytest.raises(DataError, match=f"20 finite.*found {n - bad} in"):
        check_events(file, drop_nonfinite=True)


def test_clean_events_pass(path):
    with EventFile(path) as file:
        assert check_events(file, drop_nonfinite=False) == {}


@pytest.mark.parametrize(
    ("n", "fraction", "size"), [(100, 0.1, 10), (20, 1e-6, 1), (20, 0.999, 19)]
)
def test_both_parts_have_at_least_one_event(make_resident, n, fraction, size):
    resident = make_resident(n, fraction)
    assert (resident.n_train, resident.n_validation) == (n - size, size)


def test_the_precision_of_the_flow_is_that_of_the_batches(path):
    with EventFile(path) as file:
        where = {"dtype": torch.float32, "device": torch.device("cpu")}
        for loaded in (
            ResidentEvents.read(file, validation_fraction=0.5, seed=0, **where),
            StreamedEvents(file, validation_fraction=0.5, **where),
        ):
            batch = loaded.prepare(_same).some()
            assert batch.prepared.dtype == batch.theta.dtype == torch.float32
