import awkward as ak
import numpy as np
import pytest
import uproot

from lfi_mflow.data import ColumnMapping, import_events, import_file, importing, open_events
from lfi_mflow.data.root import RootTable
from lfi_mflow.errors import DataError, FileFormatError, InputError, UnknownNameError


@pytest.fixture
def path(tmp_path):
    """Ten entries: pt is empty in the third, x is NaN in the fifth and inf in the sixth."""
    pt = [[float(i), 10.0 * i] for i in range(10)]
    pt[2] = []
    x = np.arange(10.0)
    x[4:6] = np.nan, np.inf
    with uproot.recreate(tmp_path / "file.root") as file:
        file.mktree("events", {"x": "float64", "pt": "var * float64", "m": "float64"})
        file["events"].extend({"x": x, "pt": ak.Array(pt), "m": np.full(10, 125.0)})
    return tmp_path / "file.root"


def test_missing_elements_are_dropped_and_counted(path):
    mapping = ColumnMapping(None, ("second = pt[:,1]", "pt[:,0]"), ("m",), weight="1 + m / 125")
    events, report = import_events(path, mapping)
    assert events.x[:, 0].tolist() == [10.0 * i for i in range(10) if i != 2]
    assert events.theta.tolist() == [[125.0]] * 9
    assert events.weight.tolist() == [2.0] * 9
    assert report.counts() == {"read": 10, "missing": 1, "nonfinite": 0}
    assert report.missing_in == {"second": 1, "pt[:,0]": 1}
    assert str(report) == (
        "9 of 10 events; 1 dropped, with a missing element (second: 1, pt[:,0]: 1)"
    )


def test_nonfinite_values_are_an_error_that_counts_all(path, monkeypatch):
    monkeypatch.setattr(importing, "_BLOCK_VALUES", 3)
    with pytest.raises(DataError, match=r"2 of 10 events with NaN .*\(x: 2\).*--drop-nonfinite"):
        import_events(path, ColumnMapping(None, ("x",)))


def test_nonfinite_values_are_dropped_on_request(path):
    mapping = ColumnMapping(None, ("x", "pt[:,0]"))
    events, report = import_events(path, mapping, drop_nonfinite=True)
    assert events.x[:, 0].tolist() == [0, 1, 3, 6, 7, 8, 9]
    assert report.counts() == {"read": 10, "missing": 1, "nonfinite": 2}


def test_no_event_left(path):
    with pytest.raises(DataError, match="0 of 10 events; 10 dropped"):
        import_events(path, ColumnMapping(None, ("pt[:,2]",)))


def test_an_unknown_format(tmp_path):
    with pytest.raises(FileFormatError, match=r"ends in \.root"):
        import_events(tmp_path / "events.csv", ColumnMapping(None, ("x",)))


def test_a_damaged_branch_of_fewer_rows(path, monkeypatch):
    read = RootTable.read

    def short(self, names, start, stop):
        return {name: array[:-1] for name, array in read(self, names, start, stop).items()}

    monkeypatch.setattr(RootTable, "read", short)
    with pytest.raises(DataError, match=r"expected 10 rows of m in .*found 9"):
        import_events(path, ColumnMapping(None, ("m",)))


@pytest.mark.parametrize("values", [1, 7, 1_000])
def test_a_file_is_converted_block_by_block(path, tmp_path, monkeypatch, values):
    monkeypatch.setattr(importing, "_BLOCK_VALUES", values)
    mapping = ColumnMapping("events", ("x", "pt0 = pt[:,0]"), ("m",), weight="m")
    output, seen = tmp_path / "events.h5", []
    report = import_file(path, output, mapping, drop_nonfinite=True, progress=seen.append)
    assert (report.read, report.kept) == (10, 7)
    assert seen[-1] == 10
    with open_events(output) as file:
        file.verify()
        assert file.metadata.observable_names == ("x", "pt0")
        assert file.metadata.parameter_names == ("m",)
        assert file.metadata.counts == {"read": 10, "missing": 1, "nonfinite": 2}
        assert file.metadata.provenance["imported_from"] == str(path)
        assert file.read().x[:, 1].tolist() == [0, 1, 3, 6, 7, 8, 9]
        assert file.read().weight.tolist() == [125.0] * 7


@pytest.mark.parametrize("columns", [("x",), ("nothing",), ("pt",)])
def test_an_error_leaves_no_output(path, tmp_path, columns):
    with pytest.raises(InputError):
        import_file(path, tmp_path / "events.h5", ColumnMapping(None, columns))
    assert list(tmp_path.iterdir()) == [path]


def test_an_existing_output_needs_force(path, tmp_path):
    output, mapping = tmp_path / "events.h5", ColumnMapping(None, ("m",))
    import_file(path, output, mapping)
    with pytest.raises(InputError, match="--force"):
        import_file(path, output, mapping)
    assert import_file(path, output, mapping, force=True).kept == 10


def test_jagged_muons_of_cms(data_folder):
    path = data_folder / "cms_hzz.root"
    mapping = ColumnMapping(
        "events", ("Muon_Px[:,0]", "Muon_Px[:,1]", "hypot(MET_px, MET_py)"), weight="EventWeight"
    )
    events, report = import_events(path, mapping)
    with uproot.open(path) as file:
        muons = file["events"]["Muon_Px"].array()
        met = file["events"]["MET_px"].array(library="np").astype(float)
        weight = file["events"]["EventWeight"].array(library="np")
    two = np.asarray(ak.num(muons)) >= 2
    assert report.read == 2421
    assert report.missing == (~two).sum() == 1008
    assert report.missing_in == {
        "Muon_Px[:,0]": int(ak.sum(ak.num(muons) < 1)),
        "Muon_Px[:,1]": 1008,
    }
    np.testing.assert_array_equal(events.x[:, :2], [pair[:2] for pair in muons[two].tolist()])
    assert (events.x[:, 2] >= np.abs(met[two])).all()
    np.testing.assert_array_equal(events.weight, weight[two])


def test_the_invariant_mass_of_two_muons(data_folder):
    """The mass computed from the four-vectors is the file's own branch M."""
    mass = "sqrt((E1+E2)**2 - (px1+px2)**2 - (py1+py2)**2 - (pz1+pz2)**2)"
    mapping = ColumnMapping("events", (f"mass = {mass}", "M"))
    events, report = import_events(data_folder / "zmumu.root", mapping)
    assert report.kept == report.read == len(events) == 2304
    np.testing.assert_allclose(events.x[:, 0], events.x[:, 1], rtol=1e-3)


def test_an_unknown_branch_of_a_real_file(data_folder):
    with pytest.raises(UnknownNameError, match="did you mean 'EventWeight'"):
        import_events(data_folder / "cms_hzz.root", ColumnMapping("events", ("Eventweight",)))
