"""Small arithmetic for selection: `nodes_free > 0 && min(a, b) / 60 <= 2`.

The language is the useful part of what the Go server's govaluate takes: numbers, strings,
`true`, `false`, names (`[odd-name]` in brackets), `+ - * / % **`, comparisons, `&& || !` and the
functions `min`, `max`. It is parsed by Python's own parser and run by walking the few node types
that are named here; nothing else is reachable from an expression.
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from rainbow_agent.fleet.scheduler_server.failure import Failure

_MAX_LENGTH: Final = 1000  # characters; Python's parser is recursive

Value = float | str | bool

#: Strings and bracketed names are matched first, so that nothing inside of them is rewritten.
_TOKEN: Final = re.compile(r"'[^']*'|\"[^\"]*\"|\[([^\[\]]+)\]|&&|\|\||!(?!=)")
_WORDS: Final = {"&&": " and ", "||": " or ", "!": " not "}
_CONSTANTS: Final[Mapping[str, Value]] = {"true": True, "false": False}
_FUNCTIONS: Final[Mapping[str, Callable[..., float]]] = {"min": min, "max": max}

_ARITHMETIC: Final[Mapping[type[ast.operator], Callable[[float, float], Any]]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
}
_COMPARISONS: Final[Mapping[type[ast.cmpop], Callable[[Any, Any], bool]]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}


class CannotEvaluate(Exception):
    """An expression has no value for these names: one is missing, or of the wrong type."""


class Expression:
    """A parsed expression.

    Raises:
        Failure: it is not one.
    """

    def __init__(self, text: str) -> None:
        if len(text) > _MAX_LENGTH:
            raise Failure(f"logic expression is longer than {_MAX_LENGTH} characters")
        self._names: dict[str, str] = {}  # placeholder -> what stood in brackets
        try:
            tree = ast.parse(_TOKEN.sub(self._rewrite, text).strip(), mode="eval")
        except (SyntaxError, ValueError, MemoryError, RecursionError) as exc:
            raise Failure(f"logic expression {text} is not valid: {exc}") from exc
        self._text = text
        self._body = tree.body
        self._check(tree.body)

    def evaluate(self, names: Mapping[str, Any]) -> Value:
        """The value.

        Args:
            names: what the names stand for. Numbers are taken as floating point.

        Raises:
            CannotEvaluate: a name is missing, or types do not go together.
        """
        try:
            return self._value(self._body, names)
        except (TypeError, ArithmeticError, ValueError) as exc:
            raise CannotEvaluate(f"{self._text}: {exc}") from exc

    def _rewrite(self, token: re.Match[str]) -> str:
        if token[1] is None:
            return _WORDS.get(token[0], token[0])
        placeholder = f"_bracketed_{len(self._names)}"
        self._names[placeholder] = token[1]
        return f" {placeholder} "  # apart from its neighbours: `a[0]` is not a name

    def _check(self, node: ast.expr) -> None:
        """Refuse what the language does not have."""
        match node:
            case ast.Constant(value=bool() | int() | float() | str()) | ast.Name():
                return
            case ast.UnaryOp(op=ast.USub() | ast.Not()):
                self._check(node.operand)
            case ast.BinOp() if type(node.op) in _ARITHMETIC:
                self._check(node.left)
                self._check(node.right)
            case ast.BoolOp():
                for part in node.values:
                    self._check(part)
            case ast.Compare() if all(type(op) in _COMPARISONS for op in node.ops):
                for part in (node.left, *node.comparators):
                    self._check(part)
            case ast.Call(func=ast.Name(id=name), keywords=[]) if name in _FUNCTIONS and node.args:
                for part in node.args:
                    self._check(part)
            case _:
                raise Failure(f"logic expression {self._text} is not valid: {ast.unparse(node)}")

    def _value(self, node: ast.expr, names: Mapping[str, Any]) -> Value:
        match node:
            case ast.Constant():
                return _plain(node.value)
            case ast.Name():
                return self._lookup(node.id, names)
            case ast.UnaryOp(op=ast.Not()):
                return not _truth(self._value(node.operand, names))
            case ast.UnaryOp():
                return -_number(self._value(node.operand, names))
            case ast.BinOp():
                return self._arithmetic(node, names)
            case ast.BoolOp():
                values = (_truth(self._value(part, names)) for part in node.values)
                return all(values) if isinstance(node.op, ast.And) else any(values)
            case ast.Compare():
                return self._comparison(node, names)
            case ast.Call(func=ast.Name(id=name)):
                return _FUNCTIONS[name](*(_number(self._value(a, names)) for a in node.args))
        raise TypeError(f"cannot evaluate {type(node).__name__}")  # _check lets nothing else in

    def _lookup(self, name: str, names: Mapping[str, Any]) -> Value:
        key = self._names.get(name, name)
        if key in names:
            return _plain(names[key])
        if key in _CONSTANTS:
            return _CONSTANTS[key]
        raise CannotEvaluate(f"{self._text}: nothing is known of {key}")

    def _arithmetic(self, node: ast.BinOp, names: Mapping[str, Any]) -> Value:
        left, right = self._value(node.left, names), self._value(node.right, names)
        if isinstance(node.op, ast.Add) and isinstance(left, str) and isinstance(right, str):
            return left + right
        result = _ARITHMETIC[type(node.op)](_number(left), _number(right))
        return _number(result)  # a root of a negative number is complex: no number here

    def _comparison(self, node: ast.Compare, names: Mapping[str, Any]) -> bool:
        values = [self._value(part, names) for part in (node.left, *node.comparators)]
        pairs = zip(node.ops, values, values[1:], strict=False)
        return all(_COMPARISONS[type(op)](left, right) for op, left, right in pairs)


def _plain(value: Any) -> Value:
    if isinstance(value, (bool, str)):
        return value
    if isinstance(value, (int, float)):
        return float(value)
    raise TypeError(f"{type(value).__name__} is not a number, a string or a boolean")


def _number(value: Any) -> float:
    if isinstance(value, float):
        return value
    raise TypeError(f"{type(value).__name__} where a number is needed")


def _truth(value: Value) -> bool:
    if isinstance(value, bool):
        return value
    raise TypeError(f"{type(value).__name__} where true or false is needed")
