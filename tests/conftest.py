"""What all tests share."""

import os
import signal
from pathlib import Path

import pytest
import torch

# A shell that runs the tests in the background, or nohup, has them ignore signals, and every
# process they start inherits that; the tests of signals send them to such processes.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture
def data_folder():
    """The folder of files that others have written; without it the test is skipped."""
    folder = os.environ.get("LFI_MFLOW_TEST_DATA")
    if not folder:
        pytest.skip("LFI_MFLOW_TEST_DATA is not set")
    return Path(folder)


@pytest.fixture(autouse=True)
def _seed():
    """Weights that a test initialises do not depend on which tests ran before."""
    with torch.random.fork_rng():
        torch.manual_seed(31)
        yield
