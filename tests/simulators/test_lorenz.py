import time
from pathlib import Path

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from lfi_mflow.errors import InputError, UnknownNameError
from lfi_mflow.simulation import SimulationJob, check_simulator, get_simulator, simulate_chunks
from lfi_mflow_simulators import lorenz, lorenz_trajectories
from lfi_mflow_simulators.lorenz import Lorenz
from lfi_mflow_simulators.lorenz_trajectories import STEP, integrate

FILE = lorenz.__file__
VARIANTS = [
    {},
    {"trajectories": 5},
    {"noise": 0.5},
    {"observables": "trajectory"},
    {"observables": "trajectory", "noise": 0.0, "times": [0.5, 1.0]},
    {"free": "rho"},
    {"free": ["sigma", "rho", "beta"]},
    {"free": "rho", "observables": "trajectory"},
]


def draw(n, seed=0, **settings):
    simulator = Lorenz(**settings)
    theta = np.empty((n, len(simulator.parameters)))
    for column, parameter in enumerate(simulator.parameters):
        theta[:, column] = np.random.default_rng(9).uniform(parameter.low, parameter.high, n)
    return simulator.simulate(theta, np.random.default_rng(seed))


def derivative(_, state, sigma=10.0, rho=28.0, beta=8.0 / 3.0):
    x, y, z = state
    return [sigma * (y - x), x * (rho - z) - y, x * y - beta * z]


@pytest.mark.parametrize("settings", VARIANTS)
def test_conforms(settings):
    assert len(check_simulator(Lorenz(**settings))) == 6


def test_the_registered_entry_names_the_class():
    text = (Path(__file__).parents[2] / "pyproject.toml").read_text()
    assert 'lorenz = "lfi_mflow_simulators.lorenz:Lorenz"' in text
    assert get_simulator(f"{FILE}:Lorenz", {"free": "rho"}).parameters[0].name == "rho"


@pytest.mark.parametrize(
    "values", [{}, {"sigma": 9.0, "rho": 33.0, "beta": 2.4}, {"sigma": 11.0, "rho": 27.0}]
)
def test_the_integrator_agrees_with_another_of_high_order(values):
    initial = np.array([[1.2, 0.9, 1.05], [-8.0, -3.0, 30.0]])
    when = np.array([1.0, 2.0, 5.0])
    # Each trajectory with its own parameters must be the same as with common ones.
    own = {name: np.full(2, value) for name, value in values.items()}
    states = integrate(initial, np.round(when / STEP).astype(int), **own)
    for row, start in enumerate(initial):
        exact = solve_ivp(
            lambda t, state: derivative(t, state, **values),
            (0.0, 5.0),
            start,
            method="DOP853",
            t_eval=when,
            rtol=1e-12,
            atol=1e-12,
        )
        np.testing.assert_allclose(states[:, row], exact.y.T, atol=3e-3)
    np.testing.assert_array_equal(
        states, integrate(initial, np.round(when / STEP).astype(int), **values)
    )


def test_the_integrator_is_of_fourth_order():
    start = np.array([-8.0, -3.0, 30.0])
    exact = solve_ivp(
        derivative, (0.0, 0.4), start, method="DOP853", t_eval=[0.4], rtol=1e-13, atol=1e-13
    )
    errors = []
    for step in (0.01, 0.005):
        state = integrate(start[None], [round(0.4 / step)], step=step)[0, 0]
        errors.append(np.abs(state - exact.y[:, 0]).max())
    assert errors[0] < 1e-4
    assert errors[0] / errors[1] == pytest.approx(16.0, rel=0.3)


def test_a_fixed_point_stays():
    side = np.sqrt(8.0 / 3.0 * 27.0)
    centre = np.array([[side, side, 27.0], [0.0, 0.0, 0.0]])
    np.testing.assert_allclose(integrate(centre, [50])[0], centre, atol=1e-10)


def test_a_trajectory_does_not_depend_on_those_beside_it():
    # 5,000 fill more than one block.
    initial = 1.0 + 0.1 * np.random.default_rng(0).standard_normal((5000, 3))
    states = integrate(initial, [3, 40])
    assert states.shape == (2, 5000, 3)
    chosen = [0, 4095, 4096, 4999]
    np.testing.assert_array_equal(states[:, chosen], integrate(initial[chosen], [3, 40]))
    np.testing.assert_array_equal(states[1], integrate(initial, [40])[0])


@pytest.mark.statistical
def test_states_follow_the_invariant_measure():
    # Means of derivatives of x^2 and z vanish: E x^2 = E xy = beta E z.
    x, y, z = draw(100_000).x.T
    assert z.mean() == pytest.approx(23.55, abs=0.15)
    assert np.mean(x * y) == pytest.approx(8.0 / 3.0 * z.mean(), rel=0.02)
    assert np.mean(x * x) == pytest.approx(np.mean(x * y), rel=0.02)
    # The two wings are mirror images.
    assert abs(x.mean()) < 0.5
    assert np.mean(x > 0) == pytest.approx(0.5, abs=0.04)


@pytest.mark.statistical
def test_the_number_of_trajectories_does_not_change_the_law():
    # All trajectories from one place would still swing in step at t = 20.
    few, many = draw(20_000).x, draw(20_000, trajectories=20_000, window=[20, 1000]).x
    np.testing.assert_allclose(few.mean(0), many.mean(0), atol=0.5)
    np.testing.assert_allclose(np.cov(few.T), np.cov(many.T), rtol=0.05, atol=3.0)


def test_states_lie_near_a_surface():
    x = draw(20_000).x
    x = (x - x.mean(0)) / x.std(0)
    # Close neighbours differ along two directions only. The first event is skipped where
    # the wings meet; the median says what holds elsewhere.
    shares = []
    for point in x[:40]:
        near = x[np.argsort(np.linalg.norm(x - point, axis=1))[:30]]
        values = np.linalg.svd(near - near.mean(0), compute_uv=False)
        shares.append(values[2] / values[1])
    assert np.median(shares) < 0.2


def start_together(n, seed=0):
    """The initial states and the delays of the first trajectories of a seed."""
    rng = np.random.default_rng(seed)
    initial = 1.0 + 0.1 * rng.standard_normal((n, 3))
    return initial, rng


def test_events_come_from_the_trajectories_at_regular_times():
    events = draw(40, trajectories=10, window=[1.0, 1.8], spacing=0.2).x
    # 3 states fit on a trajectory: 14 trajectories give 42 states, 2 of which are left out.
    initial, rng = start_together(14)
    delays = rng.integers(0, 41, 14)
    path = integrate(initial, np.arange(0, 181))
    kept = np.concatenate([path[100 + delays + later, np.arange(14)] for later in (0, 20, 40)])
    found = (events[:, None] == kept).all(-1)
    assert found.any(1).all()
    assert found.sum() == 40
    assert np.any(np.diff(np.argmax(found, axis=1)) < 0)


def test_few_events_have_a_trajectory_each():
    initial, rng = start_together(7, seed=3)
    delays = rng.integers(0, 501, 7)
    path = integrate(initial, np.arange(200, 701))
    events = draw(7, seed=3, window=[2.0, 1000.0]).x
    np.testing.assert_array_equal(
        np.sort(events, axis=0), np.sort(path[delays, np.arange(7)], axis=0)
    )


def test_the_integrator_leaves_its_input_alone():
    initial = np.ones((1, 3))
    integrate(initial, [5])
    np.testing.assert_array_equal(initial, 1.0)


def test_no_events():
    assert draw(0).x.shape == (0, 3)
    assert draw(0, free="rho", observables="trajectory").x.shape == (0, 15)


def test_free_parameters_rule_their_own_rows():
    simulator = Lorenz(free="beta, rho", window=[2.0, 3.0])
    assert [parameter.name for parameter in simulator.parameters] == ["rho", "beta"]
    theta = np.array([[28.0, 2.5], [30.0, 2.8], [33.0, 2.4]])
    x = simulator.simulate(theta, np.random.default_rng(1)).x
    initial, rng = start_together(3, seed=1)
    delays = rng.integers(0, 51, 3)
    for row, (rho, beta) in enumerate(theta):
        alone = integrate(initial[row : row + 1], [200 + delays[row]], rho=rho, beta=beta)
        np.testing.assert_array_equal(x[row], alone[0, 0])


def test_a_noisy_trajectory():
    settings = {"observables": "trajectory", "times": [0.1, 0.4], "window": [2.0, 9.0]}
    assert [row.name for row in Lorenz(**settings).observables] == [
        "x0", "y0", "z0", "x1", "y1", "z1"
    ]  # fmt: skip
    exact = draw(500, noise=0.0, **settings).x
    later = integrate(exact[:, :3], [30])[0]
    np.testing.assert_allclose(exact[:, 3:], later, atol=1e-9)
    noise = draw(500, noise=0.3, **settings).x - exact
    assert noise.std() == pytest.approx(0.3, rel=0.06)
    assert abs(noise.mean()) < 0.02


def test_the_manifold_is_known_only_where_there_is_one():
    assert Lorenz().manifold_dim == 2
    assert Lorenz(observables="trajectory", noise=0).manifold_dim == 2
    assert Lorenz(noise=0.1).manifold_dim is None
    assert Lorenz(free="rho").manifold_dim is None


def test_a_production_does_not_depend_on_the_number_of_workers():
    job = SimulationJob(f"{FILE}:Lorenz", {"window": [5, 9]}, 250, 7, prior=None, theta=(),
                        chunk_size=100)  # fmt: skip
    one, two = ([events.x for _, events in simulate_chunks(job, range(3), n)] for n in (1, 2))
    for first, second in zip(one, two, strict=True):
        np.testing.assert_array_equal(first, second)
    assert not np.array_equal(one[0], one[1])


def test_a_million_states_a_second():
    initial = 1.0 + 0.1 * np.random.default_rng(0).standard_normal((100, 3))
    seconds = []
    for _ in range(3):
        start = time.process_time()
        integrate(initial, np.arange(1, 1001))
        seconds.append(time.process_time() - start)
    assert 100_000 / min(seconds) > 1e6


def test_compiled_steps_have_the_same_bits(monkeypatch):
    """And so have those of plain Python, which is what is compiled."""
    pytest.importorskip("numba")
    rng = np.random.default_rng(3)
    initial = 1.0 + 0.1 * rng.standard_normal((5, 3))
    settings = {"rho": rng.uniform(27, 33, 5), "delays": rng.integers(0, 20, 5)}
    assert lorenz_trajectories._compiled() is not None
    compiled = integrate(initial, [1, 300, 2000], **settings)
    for other in (None, lorenz_trajectories.advance_one_by_one):
        monkeypatch.setattr(lorenz_trajectories, "_compiled", lambda other=other: other)
        np.testing.assert_array_equal(integrate(initial, [1, 300, 2000], **settings), compiled)


def test_a_million_events_a_second():
    """Burn-in and all: what a chunk of a production is."""
    pytest.importorskip("numba")
    theta, rng = np.zeros((100_000, 0)), np.random.default_rng(0)
    seconds = []
    for _ in range(3):  # the first one compiles
        start = time.process_time()
        Lorenz().simulate(theta, rng)
        seconds.append(time.process_time() - start)
    assert 100_000 / min(seconds) > 1e6


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"window": [50, 50]}, "0 <= start < stop"),
        ({"window": [float("nan"), 60]}, "0 <= start < stop"),
        ({"window": [1, 1.5], "times": [0, 0.6]}, "as long as an event, 0.6"),
        ({"trajectories": 0}, "at least 1 trajectory"),
        ({"spacing": 0.001}, "a spacing of at least 0.01"),
        ({"noise": -1}, "a noise of at least 0"),
        ({"noise": float("nan")}, "a noise of at least 0"),
        ({"times": []}, "rising times"),
        ({"times": [0.2, 0.2]}, "rising times"),
        ({"times": [-0.1]}, "rising times"),
        ({"times": [float("inf")]}, "rising times"),
    ],
)
def test_settings_out_of_range(settings, words):
    with pytest.raises(InputError, match=words):
        Lorenz(**settings)


def test_unknown_names_offer_the_nearest():
    with pytest.raises(UnknownNameError, match="did you mean 'sigma'"):
        Lorenz(free="sigm")
    with pytest.raises(UnknownNameError, match="did you mean 'snapshot'"):
        Lorenz(observables="snapshots")
