"""Centres of charts: k-means, running averages, revival, and who belongs to whom."""

import pytest
import torch

from lfi_mflow.charts import QuantiserSettings, VectorQuantiser
from lfi_mflow.charts.quantiser import DEAD
from lfi_mflow.errors import ConfigError

PLACES = torch.tensor([[0.0, 0.0], [5.0, 0.0], [0.0, 5.0]])


@pytest.fixture
def clusters():
    """Three clusters of 100 events each, in order."""
    generator = torch.Generator().manual_seed(1)
    return PLACES.repeat_interleave(100, 0) + 0.1 * torch.randn(300, 2, generator=generator)


def make(**settings):
    return VectorQuantiser(2, QuantiserSettings(**{"charts": 3, "hidden": 8} | settings))


def test_the_first_centres_are_those_of_k_means(clusters):
    quantiser = make()
    quantiser.start(clusters)
    near = torch.cdist(PLACES, quantiser.centres).amin(dim=1)
    assert near.max() < 0.05
    torch.testing.assert_close(quantiser.counts, torch.full((3,), 1 / 3))
    assert len(quantiser.nearest(clusters)[::100].unique()) == 3


def test_it_starts_without_its_networks(clusters):
    quantiser = make()
    torch.testing.assert_close(quantiser.encode(clusters), clusters)
    torch.testing.assert_close(quantiser.decode(clusters), clusters)


def test_more_charts_than_events_are_refused():
    repeated = torch.tensor([[0.0, 0.0], [1.0, 1.0]]).repeat(50, 1)
    with pytest.raises(ConfigError, match=r"charts \(3\), found 2.*lower charts"):
        make().start(repeated)


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"charts": 0}, "charts >= 1"),
        ({"neighbours": 4}, "neighbours from 1 to 3"),
        ({"neighbours": 0}, "neighbours from 1 to 3"),
        ({"overlap": 0.0}, "0 < overlap"),
        ({"decay": 1.0}, "decay < 1"),
        ({"embedding": 3}, "embedding <= d = 2"),
    ],
)
def test_settings_that_cannot_be(settings, match):
    with pytest.raises(ConfigError, match=match):
        make(**settings)


def test_centres_follow_the_events(clusters):
    quantiser = make(decay=0.5)
    quantiser.start(clusters)
    for _ in range(20):
        quantiser.follow(clusters + 0.5)
    near = torch.cdist(PLACES + 0.5, quantiser.centres).amin(dim=1)
    assert near.max() < 0.05
    assert quantiser.revived == 0


def test_a_dead_centre_is_revived_where_events_are(clusters):
    """All events of the third cluster are gone."""
    quantiser = make(decay=0.5)
    quantiser.start(clusters)
    left = clusters[:200]
    for _ in range(30):
        quantiser.follow(left)
    assert quantiser.revived == 1
    assert torch.cdist(quantiser.centres, left).amin(dim=1).max() < 0.3
    assert (quantiser.counts > DEAD / 3).all()


@pytest.mark.parametrize("neighbours", [1, 2, 3])
def test_every_event_belongs_to_as_many_charts_as_asked(clusters, neighbours):
    quantiser = make(neighbours=neighbours, overlap=0.2)
    quantiser.start(clusters)
    members = quantiser.members(clusters)
    distances = quantiser.distances(clusters)
    limit = distances.sort(dim=1).values[:, neighbours - 1, None]
    assert (members.sum(dim=1) >= neighbours).all()
    assert torch.equal(members, distances < 1.2 * limit)


def test_an_event_on_a_centre_belongs_to_it():
    """The strict rule would leave it without a chart."""
    quantiser = make(neighbours=1)
    members = quantiser.members(quantiser.centres.clone())
    assert torch.equal(members, torch.eye(3).bool())


def test_the_embedding_may_have_fewer_dimensions():
    quantiser = VectorQuantiser(4, QuantiserSettings(charts=2, embedding=2, hidden=8))
    z = torch.randn(10, 4)
    torch.testing.assert_close(quantiser.encode(z), z[:, :2])
    assert quantiser.decode(quantiser.encode(z)).shape == (10, 4)
