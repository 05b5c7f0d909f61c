"""The examples of docs/ run."""

import re
from pathlib import Path

import pytest
import torch

DOCS = Path(__file__).parents[1] / "docs"


@pytest.mark.filterwarnings("ignore::UserWarning")  # what sbi tells its users meanwhile
def test_the_example_for_users_of_sbi(tmp_path, monkeypatch):
    """Rejection sampling of a trained flow: posteriors of single events are near the exact ones."""
    monkeypatch.chdir(tmp_path)  # sbi logs to the working directory
    (block,) = re.findall(r"```python\n(.*?)```", (DOCS / "sbi.md").read_text(), re.DOTALL)
    names: dict = {}
    exec(compile(block, "docs/sbi.md", "exec"), names)
    grid, errors = torch.linspace(-1, 1, 1001), []
    for x, t in zip(names["x"][:8], names["t"][:8], strict=True):
        weights = torch.exp(-0.5 * ((t - grid) / 0.5) ** 2)
        draws = names["posterior"].sample((1_000,), x=x, show_progress_bars=False)
        errors.append(draws.mean() - (weights * grid).sum() / weights.sum())
    assert torch.stack(errors).abs().mean() < 0.1
    assert names["draws"].shape == (1_000, 1)
    assert names["distance"].item() < 0.03
