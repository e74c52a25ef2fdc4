"""The formulas in Cura's definition files: Python expressions over other settings, evaluated by us through a list of what is allowed.

They come from files that other people wrote, so nothing is given to `eval`: a tree is walked, and what is not on the list is refused.
"""

import ast
import math
import operator
from collections.abc import Callable
from typing import Any

Value = bool | int | float | str | list[Any]
Lookup = Callable[[str], Value]

_LONGEST = 2000
_LARGEST = 1e18
_LARGEST_EXPONENT = 10
_OPERATORS: dict[type[ast.AST], Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: lambda base, exponent: base ** _exponent(exponent),
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda item, of: item in of,
    ast.NotIn: lambda item, of: item not in of,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Not: operator.not_,
}
_CALLS: dict[str, Callable[..., Any]] = {
    **{name: getattr(math, name) for name in ("ceil", "floor", "sqrt", "tan", "sin", "cos", "atan", "radians", "degrees", "log")},
    **{one.__name__: one for one in (abs, all, any, bool, float, int, len, max, min, round, str, sum)},
    "map": lambda what, over: [what(one) for one in over],
    "list": list,
}
_NAMES = {"pi": math.pi, "True": True, "False": False}


class BadFormula(Exception):
    """It is no formula of the kind these files hold, or it has no value. The message names what."""


def evaluate(formula: str, lookup: Lookup) -> Value:
    """Its value. `lookup` gives the value of another setting, or raises. Raises BadFormula."""
    if len(formula) > _LONGEST:
        raise BadFormula(f"{formula[:40]}… is too long")
    try:
        tree = ast.parse(formula.strip(), mode="eval")
        found = _Walk(lookup).value(tree.body)
    except (SyntaxError, ValueError, TypeError, ArithmeticError, LookupError, RecursionError, MemoryError) as error:
        raise BadFormula(f"{formula[:80]}: {type(error).__name__}: {error}") from error
    if not isinstance(found, bool | int | float | str | list):
        raise BadFormula(f"{formula[:80]} has no value")
    return found


class _Walk:
    """One extruder: what asks for another extruder's value is given the only one there is."""

    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup
        self._of_settings: dict[str, Callable[..., Any]] = {
            "resolveOrValue": lookup,
            "valueFromContainer": lambda key, *_which: lookup(key),
            "extruderValue": lambda _extruder, key: lookup(key),
            "extruderValues": lambda key: [lookup(key)],
            "extruderValueFromContainer": lambda _extruder, key, *_which: lookup(key),
            "defaultExtruderPosition": lambda: 0,
            "anyExtruderNrWithOrDefault": lambda _key: 0,
            "anyExtruderWithMaterial": lambda _key: 0,
        }

    def value(self, node: ast.AST) -> Any:
        match node:
            case ast.Constant(value=bool() | int() | float() | str() as constant):
                return constant
            case ast.Name(id=name) | ast.Attribute(value=ast.Name(id="math"), attr=name):
                return self._named(name)
            case ast.List(elts=items) | ast.Tuple(elts=items):
                return [self.value(item) for item in items]
            case ast.IfExp(test=test, body=body, orelse=orelse):
                return self.value(body) if self.value(test) else self.value(orelse)
            case ast.BoolOp(op=ast.And(), values=values):
                return self._first(values, stops_at=False)
            case ast.BoolOp(values=values):
                return self._first(values, stops_at=True)
            case ast.Call(func=ast.Name(id=name) | ast.Attribute(value=ast.Name(id="math"), attr=name), args=args, keywords=[]):
                return self._call(name, args)
        return self._computed(node)

    def _computed(self, node: ast.AST) -> Any:
        match node:
            case ast.UnaryOp(op=op, operand=operand):
                return _operator(op)(self.value(operand))
            case ast.BinOp(left=left, op=op, right=right):
                return _bounded(_operator(op)(*map(_bounded, (self.value(left), self.value(right)))))
            case ast.Compare(left=left, ops=ops, comparators=others):
                return self._compared(left, ops, others)
            case ast.Subscript(value=of, slice=index):
                return self.value(of)[self.value(index)]
        raise TypeError(f"{type(node).__name__} is not allowed")

    def _named(self, name: str) -> Any:
        return _NAMES[name] if name in _NAMES else self._lookup(name)

    def _first(self, values: list[ast.expr], *, stops_at: bool) -> Any:
        found: Any = not stops_at
        for value in values:
            found = self.value(value)
            if bool(found) is stops_at:
                break
        return found

    def _compared(self, left: ast.expr, ops: list[ast.cmpop], others: list[ast.expr]) -> bool:
        one = self.value(left)
        for op, other in zip(ops, map(self.value, others), strict=True):
            if not _operator(op)(one, other):
                return False
            one = other
        return True

    def _call(self, name: str, args: list[ast.expr]) -> Any:
        if name == "map" and len(args) == 2 and isinstance(args[0], ast.Name):
            return [_function(args[0].id)(one) for one in self.value(args[1])]
        function = self._of_settings.get(name) or _function(name)
        return function(*map(self.value, args))


def _function(name: str) -> Callable[..., Any]:
    if name not in _CALLS:
        raise TypeError(f"{name}() is not allowed")
    return _CALLS[name]


def _operator(op: ast.AST) -> Callable[..., Any]:
    if type(op) not in _OPERATORS:
        raise TypeError(f"{type(op).__name__} is not allowed")
    return _OPERATORS[type(op)]


def _exponent(exponent: Any) -> Any:
    if abs(exponent) > _LARGEST_EXPONENT:
        raise ValueError("too large")
    return exponent


def _bounded(value: Any) -> Any:
    """Numbers only: no text is repeated a billion times."""
    if isinstance(value, int | float) and abs(value) <= _LARGEST:
        return value
    if isinstance(value, str | list) and len(value) <= _LONGEST:
        return value
    raise ValueError("too large")
