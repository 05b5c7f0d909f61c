import awkward as ak
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lfi_mflow.data.expressions import FUNCTIONS, Expression
from lfi_mflow.errors import ConfigError, DataError, InputError, UnknownNameError

FLAT = {"px": np.array([3.0, -1.0]), "py": np.array([4.0, 2.0]), "n": np.array([1, 2])}


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("px", [3, -1]),
        ("sqrt(px**2 + py**2)", [5, 5**0.5]),
        ("-px + 2 * (py - 1) / 4", [-1.5, 1.5]),
        ("+n", [1, 2]),
        ("hypot(px, py) - 1e0", [4, 5**0.5 - 1]),
        ("arctan2(py, px)", [np.arctan2(4, 3), np.arctan2(2, -1)]),
        ("maximum(px, py) * minimum(px, py)", [12, -2]),
        ("2 ** px ** 2", [512, 2]),
        ("7", [7, 7]),
        ("log(px)", [np.log(3), np.nan]),
        ("1 / (px + 1)", [0.25, np.inf]),
        ("9**9**9**9", [np.inf, np.inf]),
    ],
)
def test_arithmetic(text, values):
    result, missing = Expression(text).evaluate(FLAT, 2)
    assert result.dtype == np.float64
    np.testing.assert_allclose(result, values)
    assert not missing.any()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_is_numpys(name):
    function = FUNCTIONS[name]
    assert function is getattr(np, name)
    arguments = ["px", "py"][: function.nin]
    result, _ = Expression(f"{name}({', '.join(arguments)})").evaluate(FLAT, 2)
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(result, function(*(FLAT[key] for key in arguments)))


def test_branches_are_listed_once_in_order():
    expression = Expression("b*a + b.c[:,0] - `x/y`*b + sqrt(2)")
    assert expression.branches == ("b", "a", "b.c", "x/y")


def test_names_in_backticks():
    arrays = {"event#": np.array([1.0]), "a-b": np.array([2.0])}
    assert Expression("`event#` + 10*`a-b`").evaluate(arrays, 1)[0].tolist() == [21.0]


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("pt[:,0]", [1, np.nan, 3]),
        ("pt[:, 1]", [2, np.nan, np.nan]),
        ("pt[:,-1]", [2, np.nan, 3]),
        ("pt[:,-2]", [1, np.nan, np.nan]),
        ("pt[:,0] + 0 * pt[:,1]", [1, np.nan, np.nan]),
        ("fixed[:,2]", [2, 5, 8]),
        ("deep[:,0,1]", [2, np.nan, np.nan]),
        ("maybe", [1, np.nan, 3]),
    ],
)
def test_missing_elements_are_marked(text, values):
    arrays = {
        "pt": ak.Array([[1.0, 2.0], [], [3.0]]),
        "fixed": np.arange(9.0).reshape(3, 3),
        "deep": ak.Array([[[1, 2]], [[3]], []]),
        "maybe": ak.Array([1.0, None, 3.0]),
    }
    result, missing = Expression(text).evaluate(arrays, 3)
    np.testing.assert_array_equal(result, values)
    np.testing.assert_array_equal(missing, np.isnan(values))


def test_nan_in_the_data_is_not_missing():
    result, missing = Expression("a[:,0]").evaluate({"a": ak.Array([[np.nan], []])}, 2)
    assert np.isnan(result).all()
    assert missing.tolist() == [False, True]


@pytest.mark.parametrize(
    ("text", "array", "message"),
    [
        ("a", ak.Array([[1.0], []]), r"var \* float64; choose an element, as in Muon_Px"),
        ("a[:,0]", ak.Array([1.0, 2.0]), "float64; leave the index out"),
        ("a[:,0,0]", ak.Array([[1.0], []]), "leave the index out"),
        ("a", ak.Array(["one", "two"]), "string"),
        ("a", ak.Array([{"x": 1}, {"x": 2}]), "x: int64"),
    ],
)
def test_a_branch_that_is_no_number(text, array, message):
    with pytest.raises(DataError, match=message):
        Expression(text).evaluate({"a": array}, 2)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a b",
        "a[0]",
        "a[:]",
        "a[:,x]",
        "a[1:,0]",
        "a[:,True]",
        "a[:,0.5]",
        "a[:,0][:,1]",
        "(a+b)[:,0]",
        "a if b else c",
        "a < b",
        "a and b",
        "a // b",
        "lambda: 1",
        "[a for a in b]",
        "'text'",
        "True",
        "1j",
        "sqrt(x=1)",
        "sqrt(*a)",
        "a.sqrt(2)",
        "(a.b)(c)",
        "a#b",
        "a := 1",
        "sqrt(x, y)",
        "hypot(x)",
        "a\0",
        "(" * 300 + "a" + ")" * 300,
        "+".join("a" * 20_000),
    ],
)
def test_anything_else_is_refused_in_one_line(text):
    with pytest.raises(ConfigError) as caught:
        Expression(text)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("text", "offer"), [("sqr(x)", "'sqrt'"), ("__import__('os')", "known are: abs")]
)
def test_unknown_functions_are_offered(text, offer):
    with pytest.raises(UnknownNameError, match=offer):
        Expression(text)


@settings(deadline=None)
@given(st.text(alphabet="ab01.+-*/()[]:, `#'\n_x", max_size=25))
def test_no_text_breaks_the_parser(text):
    try:
        expression = Expression(text)
    except InputError:
        return
    values = np.ones((2, 1, 1))
    try:
        result, _ = expression.evaluate(dict.fromkeys(expression.branches, values), 2)
    except InputError:
        return
    assert result.shape == (2,)
