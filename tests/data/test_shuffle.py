import numpy as np
import pytest

from lfi_mflow.data.shuffle import shuffled_batches
from lfi_mflow.simulation import Events


def order_of(n, block, batch, buffer, seed=0):
    """The order of n numbered events, the sizes of the batches and the largest buffer."""
    alive = 0
    largest = 0

    def read(rows):
        nonlocal alive, largest
        numbers = np.arange(rows.start, rows.stop, dtype=float)[:, None]
        alive += len(numbers)
        largest = max(largest, alive)
        return Events(numbers, -numbers)

    blocks = [slice(start, min(start + block, n)) for start in range(0, n, block)]
    sizes, order = [], []
    for events in shuffled_batches(read, blocks, batch, buffer, np.random.default_rng(seed)):
        np.testing.assert_array_equal(events.theta, -events.x)
        sizes.append(len(events))
        order.extend(events.theta[:, 0].astype(int).tolist())
        alive -= len(events)
    return order, sizes, largest


@pytest.mark.parametrize(
    ("n", "block", "batch", "buffer"),
    [
        (1000, 100, 30, 250),
        (1000, 100, 1000, 10),
        (7, 100, 3, 10),
        (1000, 7, 1, 1),
        (50, 10, 99, 1),
    ],
)
def test_every_event_comes_once(n, block, batch, buffer):
    order, sizes, largest = order_of(n, block, batch, buffer)
    assert sorted(order) == list(range(n))
    assert sizes == [batch] * (n // batch) + [n % batch] * (n % batch > 0)
    assert largest <= max(buffer, batch) + block + batch


def test_no_blocks_give_no_batches():
    assert order_of(0, 10, 3, 10)[0] == []


def test_the_order_depends_on_the_generator_alone():
    assert order_of(500, 50, 16, 120, seed=1) == order_of(500, 50, 16, 120, seed=1)
    assert order_of(500, 50, 16, 120, seed=1) != order_of(500, 50, 16, 120, seed=2)


@pytest.mark.statistical
def test_positions_are_uniform_when_all_fits_into_the_buffer():
    """The position of event 0, over 2000 orders of 10: chi^2 of 9, false alarm 1e-4."""
    positions = [order_of(10, 3, 4, 100, seed=seed)[0].index(0) for seed in range(2000)]
    chi2 = ((np.bincount(positions, minlength=10) - 200.0) ** 2 / 200.0).sum()
    assert chi2 < 33.7


@pytest.mark.statistical
def test_neighbours_are_separated_with_a_small_buffer():
    """Events of one block of 100 must not follow each other: 4 blocks are mixed at a time."""
    order, _, _ = order_of(10_000, 100, 50, 400)
    blocks = np.array(order) // 100
    assert (blocks[1:] == blocks[:-1]).mean() < 0.3
    assert abs(np.corrcoef(np.arange(10_000), order)[0, 1]) < 0.3
