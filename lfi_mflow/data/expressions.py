"""Expressions of the branches of a file, such as ``sqrt(px1**2 + py1**2)``.

The language is the arithmetic of numpy and nothing else: numbers, branch names,
``+ - * / **``, the functions of :data:`FUNCTIONS`, and ``Muon_Px[:,0]`` for one
element per event of a branch with several. A name that is not made of letters,
digits, underscores and dots stands in backticks. The text is parsed to a tree
of which only these nodes are accepted; it is never executed as Python.
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lfi_mflow.errors import ConfigError, DataError, UnknownNameError

__all__ = ["FUNCTIONS", "Expression"]

FUNCTIONS: Mapping[str, np.ufunc] = {
    "abs": np.abs,
    "arctan2": np.arctan2,
    "cos": np.cos,
    "cosh": np.cosh,
    "exp": np.exp,
    "hypot": np.hypot,
    "log": np.log,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "sin": np.sin,
    "sinh": np.sinh,
    "sqrt": np.sqrt,
    "tan": np.tan,
    "tanh": np.tanh,
}
"""The functions an expression may call."""

_OPERATORS: Mapping[type[ast.AST], Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
    ast.UAdd: operator.pos,
    ast.USub: operator.neg,
}
_QUOTED = re.compile(r"`([^`]+)`")
_REMEDY = "write for example 'sqrt(px1**2 + py1**2)' or 'Muon_Px[:,0]'"


@dataclass(frozen=True)
class _Element:
    """A branch, or one element of it per event."""

    branch: str
    indices: tuple[int, ...]


class _Block:
    """Rows of branches, and which of the rows lacked an element so far."""

    def __init__(self, arrays: Mapping[str, Any], rows: int) -> None:
        self._arrays = arrays
        self.missing = np.zeros(rows, dtype=bool)

    def column(self, element: _Element) -> NDArray[np.float64]:
        """Return one number per event; NaN and a mark where there is none."""
        import awkward as ak  # noqa: PLC0415 - heavy, and only importing needs it

        array = ak.Array(self._arrays[element.branch])
        for index in element.indices:
            if array.ndim < 2:
                raise _not_a_number(element, array, "leave the index out")
            wanted = index + 1 if index >= 0 else -index
            enough = ak.fill_none(ak.num(array, axis=1) >= wanted, False)
            array = ak.mask(array, enough)[:, index]
        if array.ndim != 1 or not _is_numeric(array):
            raise _not_a_number(element, array, "choose an element, as in Muon_Px[:,0]")
        self.missing |= ak.to_numpy(ak.is_none(array))
        return np.asarray(ak.to_numpy(ak.fill_none(array, np.nan)), dtype=np.float64)


class Expression:
    """An expression of branches.

    Arguments:
        text: The expression.

    Attributes:
        text: The expression as it was given.
        branches: The names of the branches in it.

    Raises:
        ConfigError: If the text is not an expression.
        UnknownNameError: If it calls an unknown function; the nearest are offered.

    Example:
        >>> values, missing = Expression("2 * px + 1").evaluate({"px": [1.0, 2.0]}, 2)
        >>> values.tolist(), missing.tolist()
        ([3.0, 5.0], [False, False])
    """

    branches: tuple[str, ...]

    def __init__(self, text: str) -> None:
        self.text = text.strip()
        self._quoted: list[str] = []
        self._found: dict[str, None] = {}
        try:
            tree = ast.parse(_QUOTED.sub(self._hide, self.text).strip(), mode="eval")
            if "#" in _QUOTED.sub("", self.text):
                raise self._error("'#'")
            self._compute = self._compile(tree.body)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            raise self._error(f"{type(error).__name__} in it") from error
        self.branches = tuple(self._found)

    def evaluate(
        self, arrays: Mapping[str, Any], rows: int
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Compute the expression for a block of events.

        Arguments:
            arrays: The branches by name: numpy or awkward arrays of ``rows`` entries.
            rows: Number N of events.

        Returns:
            The values with shape (N,), NaN or infinite where the arithmetic has
            no result, and with shape (N,) whether an element was missing.

        Raises:
            DataError: If a branch is not a number per event.
        """
        block = _Block(arrays, rows)
        with np.errstate(all="ignore"):
            values = self._compute(block)
        return np.array(np.broadcast_to(values, rows), dtype=np.float64), block.missing

    def _compile(self, node: ast.AST) -> Callable[[_Block], Any]:
        """Turn a node of the tree into a function of a block."""
        match node:
            case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
                constant = np.float64(number)
                return lambda block: constant
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
                return self._apply(_OPERATORS[type(op)], [left, right])
            case ast.UnaryOp(op=op, operand=operand) if type(op) in _OPERATORS:
                return self._apply(_OPERATORS[type(op)], [operand])
            case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]):
                return self._apply(self._function(name, len(arguments)), arguments)
            case ast.Name() | ast.Attribute() | ast.Subscript():
                element = self._element(node)
                return lambda block: block.column(element)
        raise self._error(f"'{ast.unparse(node)}'")

    def _apply(
        self, function: Callable[..., Any], nodes: list[ast.expr]
    ) -> Callable[[_Block], Any]:
        """Apply a function to the values of nodes."""
        parts = [self._compile(node) for node in nodes]
        return lambda block: function(*(part(block) for part in parts))

    def _function(self, name: str, arguments: int) -> np.ufunc:
        """Look a function up."""
        if name not in FUNCTIONS:
            raise UnknownNameError(f"function in {self.text!r}", name, FUNCTIONS)
        function = FUNCTIONS[name]
        if arguments != function.nin:
            raise ConfigError(
                f"{function.nin} argument(s) of {name} in {self.text!r}", f"{arguments}", _REMEDY
            )
        return function

    def _element(self, node: ast.AST) -> _Element:
        """Read a branch name with or without an index, and remember the name."""
        indices: tuple[int, ...] = ()
        if isinstance(node, ast.Subscript):
            indices = self._indices(node.slice)
            node = node.value
        element = _Element(self._name(node), indices)
        self._found[element.branch] = None
        return element

    def _indices(self, node: ast.expr) -> tuple[int, ...]:
        """Read ``[:, i]`` or ``[:, i, j]``."""
        match node:
            case ast.Tuple(elts=[ast.Slice(lower=None, upper=None, step=None), *rest]) if rest:
                indices = [_integer(item) for item in rest]
                if None not in indices:
                    return tuple(index for index in indices if index is not None)
        raise self._error(f"the index '[{ast.unparse(node)}]'")

    def _name(self, node: ast.AST) -> str:
        """Read a branch name, with dots or in backticks."""
        match node:
            case ast.Name(id=name):
                quoted = re.fullmatch(r"_quoted_(\d+)_", name)
                return self._quoted[int(quoted[1])] if quoted else name
            case ast.Attribute(value=value, attr=attribute):
                return f"{self._name(value)}.{attribute}"
        raise self._error(f"'{ast.unparse(node)}'")

    def _hide(self, match: re.Match[str]) -> str:
        """Put a Python name in the place of one in backticks."""
        self._quoted.append(match[1])
        return f" _quoted_{len(self._quoted) - 1}_ "

    def _error(self, found: str) -> ConfigError:
        """Say what of the text cannot be used."""
        text = self.text if len(self.text) <= 80 else f"{self.text[:77]}..."
        return ConfigError(f"an expression of branches, in {text!r}", found, _REMEDY)


def _integer(node: ast.expr) -> int | None:
    """Read an integer with or without a minus sign."""
    match node:
        case ast.Constant(value=int() as number) if not isinstance(number, bool):
            return number
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() as number)):
            return -number
    return None


def _is_numeric(array: Any) -> bool:
    """Whether an awkward array of one dimension holds numbers."""
    text = str(array.type.content).lstrip("?")
    return text == "bool" or text.startswith(("int", "uint", "float"))


def _not_a_number(element: _Element, array: Any, remedy: str) -> DataError:
    """Say that a branch does not hold one number per event."""
    return DataError(
        f"one number per event in branch {element.branch!r}",
        f"values of type {array.type.content}",
        remedy,
    )
