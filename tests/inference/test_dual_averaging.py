import torch

from lfi_mflow.inference.dual_averaging import DualAveraging


def test_it_finds_the_step_size_of_the_wanted_acceptance():
    scale = torch.tensor([0.01, 1.0, 50.0], dtype=torch.float64)
    tuner = DualAveraging(torch.ones(3, dtype=torch.float64), wanted=0.8)
    for _ in range(400):
        tuner.update(torch.exp(-tuner.step_size / scale))  # 0.8 at 0.223 of the scale
    torch.testing.assert_close(
        tuner.mean_step_size / scale, torch.full((3,), 0.2231).double(), rtol=0.1, atol=0
    )
