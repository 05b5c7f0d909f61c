"""The chart of images: what the laws do not say."""

import math

import pytest
import torch

from lfi_mflow.charts import ConvolutionalChart, ImageSettings, NetworkSettings
from lfi_mflow.errors import ConfigError

NETWORK = NetworkSettings(hidden=8, blocks=1)


def _chart(image, n=2):
    return ConvolutionalChart(math.prod(image.shape), n, image, NETWORK, NETWORK)


@pytest.fixture
def turned(generator):
    """Axes of 12 dimensions that mix all pixels."""
    return torch.linalg.qr(torch.randn(12, 12, generator=generator).double()).Q


def test_the_networks_see_pixels_whatever_the_axes(perturb, turned):
    """The chart of turned coordinates is the other one, but for the planes they start from."""
    image = ImageSettings(height=3, width=4, levels=1)
    chart = perturb(_chart(image)).double()
    pixels, u = torch.randn(9, 12).double(), torch.randn(9, 2).double()
    encoded, decoded = chart.encode(pixels) - pixels[:, :2], chart.decode(u)[:, 2:]
    chart.orient(turned)
    z = pixels @ turned
    torch.testing.assert_close(chart.encode(z) - z[:, :2], encoded)
    start = torch.nn.functional.pad(u, (0, 10)) @ turned.T
    torch.testing.assert_close((chart.decode(u) @ turned.T - start)[:, 2:], decoded)


def test_what_the_decoder_adds_moves_with_its_features(perturb):
    """A convolution knows no places: features that are shifted give a shifted image."""
    image = ImageSettings(height=16, width=20, levels=2)
    expansion = perturb(_chart(image)).double().decoder[1]
    features = torch.zeros(1, *image.shapes[-1]).double()
    features[..., 1, 2] = torch.randn(features.shape[1]).double()
    here = expansion(features.flatten(1))
    there = expansion(features.roll((1, 1), dims=(-2, -1)).flatten(1))
    inner = (..., slice(6, 14), slice(6, 18))
    assert (here - there)[inner].abs().max() > 1e-3
    torch.testing.assert_close(here.roll((4, 4), dims=(-2, -1))[inner], there[inner])


@pytest.mark.parametrize("size", [(2, 2), (3, 2), (5, 7), (8, 8), (9, 4)])
@pytest.mark.parametrize("channels", [1, 3])
def test_images_of_any_size(perturb, size, channels):
    height, width = size
    most = (min(size) - 1).bit_length()
    image = ImageSettings(height, width, channels, filters=2, levels=most)
    chart = perturb(_chart(image))
    assert min(image.shapes[-1][1:]) == 1
    assert chart.encode(torch.randn(5, height * width * channels)).shape == (5, 2)
    assert chart.decode(torch.randn(5, 2)).shape == (5, height * width * channels)


def test_training_reproduces_images(generator):
    """A bright spot that moves: two dimensions, of which the plane of pixels knows little."""
    grid = torch.stack(torch.meshgrid(*2 * [torch.arange(8.0)], indexing="ij"))

    def draw(rows):
        place = 2 + 3 * torch.rand(rows, 2, 1, 1, generator=generator)
        return (-(grid - place).square().sum(dim=1) / 3).exp().flatten(1) - 0.1

    chart = _chart(ImageSettings(8, 8, filters=4))
    chart.orient(torch.linalg.eigh(torch.cov(draw(2000).T)).eigenvectors.flip(-1))
    optimiser = torch.optim.Adam(chart.parameters(), lr=1e-2)
    errors = []
    for _ in range(200):
        z = draw(64) @ chart.axes
        loss = (z - chart.decode(chart.encode(z))).square().sum(dim=-1).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        errors.append(loss.item())
    assert sum(errors[-20:]) < 0.05 * sum(errors[:1]) * 20


def test_an_image_of_another_size_is_one_line():
    with pytest.raises(ConfigError, match=r"1 x 8 x 8 .*= 64 observables, found d = 48; correct"):
        ConvolutionalChart(48, 2, ImageSettings(8, 8), NETWORK, NETWORK)


@pytest.mark.parametrize("name", ["height", "width", "channels", "filters"])
def test_sizes_that_cannot_be(name):
    with pytest.raises(ConfigError, match=f"{name} >= 1, found 0"):
        ImageSettings(**{"height": 8, "width": 8, name: 0})


@pytest.mark.parametrize(
    ("size", "levels", "most"), [((8, 8), 4, 3), ((8, 8), 0, 3), ((1, 64), 1, 0)]
)
def test_levels_that_cannot_be(size, levels, most):
    with pytest.raises(ConfigError, match=f"1 <= levels <= {most} for images.*found {levels}"):
        ImageSettings(*size, levels=levels)


def test_the_size_of_a_chart_is_known_before_it_is_built():
    image = ImageSettings(5, 7, channels=2, filters=3, levels=2)
    values = _chart(image).state_dict()
    least = image.least_elements(2, NETWORK, NETWORK)
    assert least == sum(value.numel() for name, value in values.items() if "bias" not in name)
