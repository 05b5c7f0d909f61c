import torch

from lfi_mflow.inference.windows import Evaluator, fades, narrow, search_box, zoom
from lfi_mflow.simulation.priors import Normal, Prior, Uniform


def gaussian(width):
    centre = torch.tensor([0.3, -0.2], dtype=torch.float64)

    def density(theta):
        return -0.5 * ((theta - centre[: theta.shape[-1]]) / width).square().sum(-1)

    return density


def test_boxes_shrink_to_seven_standard_deviations():
    for dim in (1, 2):
        whole = search_box(Prior((Uniform(-1.0, 1.0), Normal(0.0, 1.0))[:dim]), 1)
        for shrink in (zoom, narrow):
            evaluate = Evaluator(gaussian(0.002))
            box = shrink(evaluate, zoom(Evaluator(gaussian(0.02)), whole))
            low, high = ((end[0, 0] - 0.3) / 0.002 for end in box)
            assert -25 < low < -6
            assert 6 < high < 25


def test_a_density_that_is_cut_by_its_box_does_not_fade():
    theta = torch.linspace(-1, 1, 41, dtype=torch.float64)
    density = (-0.5 * (theta / 0.3) ** 2)[None]
    box = torch.tensor([[-1.0]]), torch.tensor([[1.0]])
    wide = torch.tensor([[-2.0]]), torch.tensor([[2.0]])
    assert not fades(density, box, wide)
    assert fades(density, box, box)  # the prior ends there
    assert fades(9.0 * density, box, wide)
