"""What all tests share."""

import signal

import pytest
import torch

# A shell that runs the tests in the background, or nohup, has them ignore signals, and every
# process they start inherits that; the tests of signals send them to such processes.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(autouse=True)
def _seed():
    """Weights that a test initialises do not depend on which tests ran before."""
    with torch.random.fork_rng():
        torch.manual_seed(31)
        yield
