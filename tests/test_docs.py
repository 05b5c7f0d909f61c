"""The examples of docs/ run."""

import re
from pathlib import Path

import pytest
import torch

DOCS = Path(__file__).parents[1] / "docs"


@pytest.mark.filterwarnings("ignore::UserWarning")  # what sbi tells its users meanwhile
def test_the_example_for_users_of_sbi(tmp_path, monkeypatch):
    """Rejection sampling of a trained flow: the posterior of one event is near the exact one."""
    monkeypatch.chdir(tmp_path)  # sbi logs to the working directory
    (block,) = re.findall(r"```python\n(.*?)```", (DOCS / "sbi.md").read_text(), re.DOTALL)
    names: dict = {}
    exec(compile(block, "docs/sbi.md", "exec"), names)
    t = names["t"][0].item()
    weights = torch.exp(-0.5 * ((torch.linspace(-1, 1, 1001) - t) / 0.5) ** 2)
    mean = (weights * torch.linspace(-1, 1, 1001)).sum() / weights.sum()
    assert names["draws"].mean().item() == pytest.approx(mean.item(), abs=0.1)
    assert names["distance"].item() < 0.03
