import pytest

from lfi_mflow.inference.methods import choose_method


@pytest.mark.parametrize(
    ("dim", "chosen"),
    [(1, "grid"), (2, "grid"), (3, "mcmc"), (10, "mcmc"), (11, "hmc")],
)
def test_auto_takes_what_is_fastest(dim, chosen):
    assert choose_method("auto", dim) == chosen


@pytest.mark.parametrize("method", ["mcmc", "hmc", "grid"])
def test_what_was_asked_for_stays(method):
    assert choose_method(method, 30) == method
