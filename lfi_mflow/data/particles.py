"""Columns of the particles and weights of Les Houches events.

The columns of a particle are jagged: one value per particle of the event, in the
order of the file, so that ``px[:,2]`` is the momentum of the third particle.

    ``id status mother1 mother2 color1 color2 px py pz e m lifetime spin``

Behind a dot stand conditions, each of which a particle must meet; the order of the
particles stays: ``pz.final[:,0]`` is the first particle of the final state and
``e.final.abs13[:,1]`` its second muon. Events without it are left out and counted.

    ==================  ======================================================
    ``incoming``        status -1
    ``resonance``       status 2
    ``final``           status 1
    ``pdg25``           the PDG number is 25
    ``anti13``          the PDG number is -13
    ``abs13``           the PDG number is 13 or -13
    ==================  ======================================================

The columns of an event are ``weight`` (XWGTUP), ``scale``, ``alpha_qed``,
``alpha_qcd`` and ``process``, and ``rwgt.ID`` is the weight with the identifier ID of
the blocks ``<rwgt>`` or ``<weights>``; where ID is a number, the name stands in
backticks, as in "`rwgt.1001`".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lfi_mflow.errors import ConfigError, UnknownNameError

__all__ = ["RWGT", "event_column"]

_FIELDS = (
    *("id", "status", "mother1", "mother2", "color1", "color2"),
    *("px", "py", "pz", "e", "m", "lifetime", "spin"),
)
_EVENT: Mapping[str, Callable[[Any], float]] = {
    "weight": lambda info: float(info.weight),
    "scale": lambda info: float(info.scale),
    "alpha_qed": lambda info: float(info.aqed),
    "alpha_qcd": lambda info: float(info.aqcd),
    "process": lambda info: float(info.pid),
}
_STATUS = {"incoming": -1, "resonance": 2, "final": 1}
_PDG = re.compile(r"(pdg|anti|abs)(\d+)")
RWGT = "rwgt."
"""How the names of reweighting weights begin."""


def event_column(name: str) -> Callable[[Sequence[Any]], Any]:
    """Return the function that turns events into an awkward array of a column."""
    if name in _EVENT:
        return lambda events: np.array([_EVENT[name](event.eventinfo) for event in events])
    if name.startswith(RWGT):
        return lambda events: _optional(event.weights.get(name[len(RWGT) :]) for event in events)
    field, *words = name.split(".")
    if field not in _FIELDS:
        raise UnknownNameError("column of an LHE file", field, (*_FIELDS, *_EVENT, "rwgt.ID"))
    conditions = [_condition(word, name) for word in words]
    return lambda events: _particles(events, field, conditions)


def _optional(values: Iterator[float | None]) -> Any:
    """Return an awkward array of numbers, of which some may be missing."""
    import awkward as ak  # noqa: PLC0415

    array = list(values)
    missing = np.array([value is None for value in array])
    numbers = np.array([np.nan if value is None else value for value in array])
    return ak.mask(numbers, ~missing)


_Condition = Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.bool_]]


def _condition(word: str, name: str) -> _Condition:
    """Return what a word behind a dot says about the numbers and the status of particles."""
    if word in _STATUS:
        return lambda number, status: status == _STATUS[word]
    match = _PDG.fullmatch(word)
    if match is None:
        raise ConfigError(
            f"a condition in {name!r} such as final, incoming, resonance, pdg25, anti13 or abs13",
            repr(word),
            "write for example 'pz.final[:,0]'",
        )
    kind, wanted = match[1], int(match[2])
    if kind == "abs":
        return lambda number, status: np.abs(number) == wanted
    signed = wanted if kind == "pdg" else -wanted
    return lambda number, status: number == signed


def _particles(events: Sequence[Any], field: str, conditions: Sequence[_Condition]) -> Any:
    """Return a jagged array of a field of the particles that meet all conditions."""
    import awkward as ak  # noqa: PLC0415

    def flat(name: str) -> NDArray[np.float64]:
        return np.array(
            [getattr(p, name) for event in events for p in event.particles], dtype=float
        )

    counts = np.array([len(event.particles) for event in events])
    values = ak.unflatten(flat(field), counts)
    if not conditions:
        return values
    number, status = flat("id"), flat("status")
    keep = np.logical_and.reduce([condition(number, status) for condition in conditions])
    return values[ak.unflatten(keep, counts)]
