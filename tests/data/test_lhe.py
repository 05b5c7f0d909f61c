import gzip
import itertools
import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lfi_mflow.data import ColumnMapping, import_events, importing, lhe
from lfi_mflow.data.lhe import open_lhe
from lfi_mflow.errors import (
    ConfigError,
    DataError,
    FileFormatError,
    InputError,
    UnknownNameError,
)

pytest.importorskip("pylhe")

HEAD = """<LesHouchesEvents version="3.0">
<header>
<!-- a card that quotes <event> and </event> -->
<initrwgt>
<weightgroup name="mg_reweighting" combine="none">
<weight id="sm">set cwww 0</weight>
<weight id="1001">set cwww 1</weight>
</weightgroup>
</initrwgt>
</header>
<init>
2212 2212 6.5e+03 6.5e+03 0 0 247000 247000 -4 1
5.0e+01 1.0e-01 5.0e+01 1
</init>
"""
TAIL = "</LesHouchesEvents>\n"
MUONS = ((13, 30.0, 40.0, 0.0), (-13, -30.0, -40.0, 12.0))


def particle(pdg, status, px, py, pz, m=0.0):
    energy = math.sqrt(px**2 + py**2 + pz**2 + m**2)
    return f" {pdg} {status} 1 2 0 0 {px!r} {py!r} {pz!r} {energy!r} {m!r} 0.0 9.0"


def event(number, leptons=MUONS, weights=("sm", "1001")):
    """An event u ubar > H > leptons, whose momenta grow with its number."""
    lines = [particle(2, -1, 0.0, 0.0, 500.0), particle(-2, -1, 0.0, 0.0, -400.0)]
    lines.append(particle(25, 2, 0.0, 0.0, 100.0, m=125.0 + number))
    lines += [particle(pdg, 1, px + number, py, pz) for pdg, px, py, pz in leptons]
    text = f"<event>\n {len(lines)} 7 {0.5 + number!r} 91.2 0.0078 0.118\n" + "\n".join(lines)
    wgt = "".join(
        f"<wgt id='{name}'>{number + 10.0**i!r}</wgt>\n" for i, name in enumerate(weights)
    )
    return f"{text}\n<rwgt>\n{wgt}</rwgt>\n</event>\n"


@pytest.fixture
def write(tmp_path):
    """A function that writes events to a file."""

    def write(events, name="e.lhe"):
        content = (HEAD + "".join(events) + TAIL).encode()
        (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
        return tmp_path / name

    return write


@pytest.mark.parametrize("name", ["e.lhe", "e.lhe.gz", "E.LHE"])
@pytest.mark.parametrize("values", [1, 7, 1_000])
def test_columns_of_particles_and_events(write, monkeypatch, name, values):
    monkeypatch.setattr(importing, "_BLOCK_VALUES", values)
    monkeypatch.setattr(lhe, "_PORTION", 3)
    path = write([event(i) for i in range(8)], name)
    mapping = ColumnMapping(
        None,
        (
            "mH = m.pdg25[:,0]",
            "px[:,3]",
            "e.final.abs13[:,1]",
            "py.anti13[:,0]",
            "pz.incoming[:,1]",
        ),
        ("cwww = -1.5", "scale"),
        weight="weight",
    )
    events, report = import_events(path, mapping)
    i = np.arange(8.0)
    second = np.sqrt((i - 30) ** 2 + 40**2 + 12**2)
    expected = np.stack([125 + i, 30 + i, second, 0 * i - 40, 0 * i - 400], axis=1)
    np.testing.assert_allclose(events.x, expected, rtol=1e-14)
    assert events.theta.tolist() == [[-1.5, 91.2]] * 8
    assert events.weight.tolist() == (0.5 + i).tolist()
    assert report.counts() == {"read": 8, "missing": 0, "nonfinite": 0}


def test_every_field_and_number_of_an_event(write):
    path = write([event(0)])
    fields = ("id", "status", "mother1", "mother2", "color1", "color2", "lifetime", "spin")
    singles = ("scale", "alpha_qed", "alpha_qcd", "process")
    columns = (*(f"{field}[:,2]" for field in fields), *singles)
    events, _ = import_events(path, ColumnMapping(None, columns))
    assert events.x[0].tolist() == [25, 2, 1, 2, 0, 0, 0.0, 9.0, 91.2, 0.0078, 0.118, 7]


def test_reweighting_weights(write):
    path = write([event(0), event(1), event(2, weights=("sm",))])
    mapping = ColumnMapping(None, ("rwgt.sm",), weight="`rwgt.1001`")
    events, report = import_events(path, mapping)
    assert events.x.tolist() == [[1.0], [2.0]]
    assert events.weight.tolist() == [10.0, 11.0]
    assert report.missing_in == {"`rwgt.1001`": 1}
    with pytest.raises(UnknownNameError, match=r"'rwgt\.SM'; did you mean 'rwgt\.sm'"):
        import_events(path, ColumnMapping(None, ("rwgt.SM",)))


def test_weights_without_names_take_those_of_the_header(write):
    text = event(3).partition("<rwgt>")[0] + "<weights>\n 0.25 0.75\n</weights>\n</event>\n"
    events, _ = import_events(write([text]), ColumnMapping(None, ("rwgt.sm", "`rwgt.1001`")))
    assert events.x.tolist() == [[0.25, 0.75]]


def test_events_without_the_particles_are_counted(write):
    path = write([event(0), event(1, MUONS[:1]), event(2, ()), event(3)])
    mapping = ColumnMapping(None, ("second = pz.final[:,1]", "px.pdg13[:,0]"))
    events, report = import_events(path, mapping)
    assert events.x.tolist() == [[12.0, 30.0], [12.0, 33.0]]
    assert report.missing_in == {"second": 2, "px.pdg13[:,0]": 1}
    with pytest.raises(DataError, match=r"0 of 4 events; 4 dropped, with a missing element"):
        import_events(path, ColumnMapping(None, ("px.pdg22[:,0]",)))


@pytest.mark.parametrize(
    ("column", "kind", "words"),
    [
        ("pT[:,0]", UnknownNameError, "name of a column of an LHE file, found 'pT'"),
        ("weights", UnknownNameError, "did you mean 'weight'"),
        ("px.finel[:,0]", ConfigError, "found 'finel'"),
        ("px.pdg[:,0]", ConfigError, "found 'pdg'"),
        ("weight.final", UnknownNameError, "found 'weight'"),
        ("px", DataError, "one number per event in branch 'px'"),
        ("px.final", DataError, r"one number per event in branch 'px\.final'"),
        ("weight[:,0]", DataError, "leave the index out"),
    ],
)
def test_columns_that_do_not_exist(write, column, kind, words):
    with pytest.raises(kind, match=words):
        import_events(write([event(0)]), ColumnMapping(None, (column,)))


def test_going_back_reads_the_file_anew(write):
    with open_lhe(write([event(i) for i in range(5)], "e.lhe.gz")) as table:
        assert len(table) == 5
        for start, stop in [(0, 2), (3, 5), (1, 4), (0, 5)]:
            block = table.read(("weight",), start, stop)
            assert block["weight"].tolist() == [0.5 + i for i in range(start, stop)]


@pytest.mark.parametrize("name", ["e.lhe", "e.lhe.gz"])
@pytest.mark.parametrize("part", [0.0, 0.05, 0.3, 0.6, 0.9, 0.999])
def test_a_truncated_file_is_one_clear_error(write, name, part):
    path = write([event(i) for i in range(5)], name)
    content = path.read_bytes()
    path.write_bytes(content[: int(part * (len(content) - len(TAIL)))])
    with pytest.raises(FileFormatError) as caught:
        import_events(path, ColumnMapping(None, ("weight",)))
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("<init>", "<initial>"),
        ("</event>", "</evnt>"),
        (" 25 2 1 2", " 25 two 1 2"),
        ("0.0 9.0\n", "0.0\n"),
        ("</wgt>", ""),
        ("LesHouchesEvents", "LesHouches"),
        (" 5 7 0.5", " 5 7"),
        (" 5 7 0.5", " 6 7 0.5"),
        (" 5 7 0.5", " nan 7 0.5"),
    ],
)
def test_a_damaged_file_is_one_clear_error(write, old, new):
    path = write([event(0), event(1)])
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(InputError) as caught:
        import_events(path, ColumnMapping(None, ("weight", "spin[:,0]")))
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("value", ["nan", "inf"])
def test_values_that_are_not_finite(write, value):
    path = write([event(0), event(1)])
    path.write_text(path.read_text().replace("91.2", value, 1))
    with pytest.raises(DataError, match=r"1 of 2 events with NaN .*\(scale: 1\)"):
        import_events(path, ColumnMapping(None, ("scale",)))


@pytest.mark.parametrize("content", [b"", b"px,py\n1,2\n", b"\x1f\x8bnothing", b"\xff" * 100])
def test_a_file_of_another_kind(tmp_path, content):
    (tmp_path / "e.lhe").write_bytes(content)
    with pytest.raises(FileFormatError, match="LHE file at"):
        import_events(tmp_path / "e.lhe", ColumnMapping(None, ("weight",)))


@settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    start=st.integers(0, 3000),
    length=st.integers(0, 40),
    junk=st.one_of(st.binary(max_size=8), st.sampled_from([b"<event>", b"</event>", b"1e999"])),
)
def test_damage_anywhere_is_one_clear_error_or_none(write, start, length, junk):
    path = write([event(0), event(1)])
    content = path.read_bytes()
    path.write_bytes(content[:start] + junk + content[start + length :])
    mapping = ColumnMapping(None, ("px.final[:,0]", "m.pdg25[:,0]"), weight="rwgt.sm")
    words = ""
    try:
        events, report = import_events(path, mapping)
    except InputError as error:
        words = str(error)
    assert "\n" not in words
    assert words or len(events) == report.kept <= 2


def test_a_small_file_with_a_huge_event(tmp_path, monkeypatch):
    monkeypatch.setattr(lhe, "_MOST_BYTES", 10_000)
    path = tmp_path / "bomb.lhe.gz"
    for filling in (" " * 50_000, "# a line\n" * 5_000):
        path.write_bytes(gzip.compress(f"{HEAD}{event(0)}<event>\n{filling}{TAIL}".encode()))
        with (
            pytest.raises(FileFormatError, match="a larger one after the beginning of event 2"),
            open_lhe(path),
        ):
            pass


def test_entities_that_grow_are_refused(tmp_path):
    """A billion laughs."""
    names = "abcdefghij"
    pairs = itertools.pairwise(names)
    entities = "".join(f'<!ENTITY {new} "{10 * f"&{old};"}">' for old, new in pairs)
    doctype = f'<!DOCTYPE LesHouchesEvents [<!ENTITY a "ha">{entities}]>'
    laughing = event(0).replace("<rwgt>", "&j;<rwgt>")
    path = tmp_path / "laughs.lhe"
    path.write_text(f"{doctype}{HEAD}{laughing}{TAIL}")
    with pytest.raises(InputError):
        import_events(path, ColumnMapping(None, ("pz.final[:,0]",)))
