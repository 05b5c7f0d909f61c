import copy

import pytest
import torch
from torch import nn

from lfi_mflow.training.optimisers import OPTIMISERS
from lfi_mflow.training.soap import Soap

SIZE = 6


def _gradients(n, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn((n, SIZE, SIZE), generator=generator, dtype=torch.float64)


def _path(gradients, start, **settings):
    """The weights after steps with given gradients."""
    weight = nn.Parameter(start.clone())
    optimiser = Soap([weight], 1e-2, **{"refresh": 3, **settings})
    for gradient in gradients:
        weight.grad = gradient.clone()
        optimiser.step()
    return weight.detach()


def _rotation(size, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.linalg.qr(torch.randn((size, size), generator=generator, dtype=torch.float64))[0]


def test_rotated_gradients_give_a_rotated_path():
    """Adam depends on the axes of inputs and outputs, SOAP does not."""
    gradients, start = _gradients(40), torch.zeros((SIZE, SIZE), dtype=torch.float64)
    left, right = _rotation(SIZE, 1), _rotation(SIZE, 2)
    plain, rotated = _path(gradients, start), _path(left @ gradients @ right, start)
    assert plain.norm() > 0.1
    torch.testing.assert_close(rotated, left @ plain @ right, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("shape", [(SIZE,), (SIZE, SIZE)])
def test_what_has_no_bases_is_left_to_adam(shape):
    """Biases, and matrices that are too long."""
    gradients = torch.randn((20, *shape), dtype=torch.float64)
    paths = []
    for make in (
        lambda p: Soap([p], 1e-2, betas=(0.9, 0.95), largest=SIZE - 1),
        lambda p: torch.optim.Adam([p], 1e-2, betas=(0.9, 0.95)),
    ):
        weight = nn.Parameter(torch.ones(shape, dtype=torch.float64))
        optimiser = make(weight)
        for gradient in gradients:
            weight.grad = gradient.clone()
            optimiser.step()
        paths.append(weight.detach())
    torch.testing.assert_close(paths[0], paths[1], rtol=1e-6, atol=1e-9)


def test_weights_decay_apart_from_the_gradient():
    gradients = torch.zeros((10, SIZE, SIZE), dtype=torch.float64)
    start = torch.ones((SIZE, SIZE), dtype=torch.float64)
    end = _path(gradients, start, weight_decay=0.5)
    torch.testing.assert_close(end, start * (1 - 1e-2 * 0.5) ** 10)


def test_a_saved_state_goes_on_as_if_nothing_had_happened():
    gradients, start = _gradients(13), torch.zeros((SIZE, SIZE), dtype=torch.float64)
    weight = nn.Parameter(start.clone())
    optimiser = Soap([weight], 1e-2, refresh=3)
    for gradient in gradients[:8]:
        weight.grad = gradient.clone()
        optimiser.step()
    again = nn.Parameter(weight.detach().clone())
    resumed = Soap([again], 1e-2, refresh=3)
    resumed.load_state_dict(copy.deepcopy(optimiser.state_dict()))
    for gradient in gradients[8:]:
        again.grad = gradient.clone()
        resumed.step()
    assert torch.equal(again.detach(), _path(gradients, start))


def test_a_gradient_that_is_not_finite_is_no_step():
    gradients, start = _gradients(9), torch.zeros((SIZE, SIZE), dtype=torch.float64)
    weight = nn.Parameter(start.clone())
    optimiser = Soap([weight], 1e-2, refresh=100)
    for step, gradient in enumerate([*gradients[:4], gradients[0] * torch.nan, *gradients[4:]]):
        weight.grad = gradient.clone()
        optimiser.found_inf = torch.tensor(float(step == 4))
        optimiser.step()
    torch.testing.assert_close(weight.detach(), _path(gradients, start, refresh=100))


def _fit(name, steps):
    """Fit a linear map whose inputs and outputs are correlated; return the error."""
    generator = torch.Generator().manual_seed(3)
    mix = torch.diag(torch.logspace(0, -1.5, 8, dtype=torch.float64))
    turn, back = _rotation(8, 4), _rotation(8, 5)
    truth = turn @ mix @ back
    weight = nn.Parameter(torch.zeros((8, 8), dtype=torch.float64))
    optimiser = OPTIMISERS[name]([weight], 1e-2, None, 0.0)
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = 1e-2 * (1 - step / steps)
        x = torch.randn((64, 8), generator=generator, dtype=torch.float64) @ mix @ back
        loss = (x @ (weight - truth).T @ mix @ turn.T).square().mean()
        weight.grad = torch.autograd.grad(loss, weight)[0]
        optimiser.step()
    return float((weight.detach() - truth).norm() / truth.norm())


def test_it_learns_directions_that_adam_is_slow_in():
    assert _fit("soap", 600) < 0.2 * _fit("adamw", 600)
