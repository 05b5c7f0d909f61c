import pytest

from lfi_mflow.inference.methods import choose_method


@pytest.mark.parametrize(
    ("dim", "events", "chosen"),
    [(1, 20, "mcmc"), (2, 5_000, "grid"), (3, 5_000, "mcmc"), (10, 20, "mcmc"), (11, 20, "hmc")],
)
def test_auto_takes_what_is_fastest(dim, events, chosen):
    assert choose_method("auto", dim, events) == chosen


@pytest.mark.parametrize("method", ["mcmc", "hmc", "grid"])
def test_what_was_asked_for_stays(method):
    assert choose_method(method, 30, 100_000) == method
