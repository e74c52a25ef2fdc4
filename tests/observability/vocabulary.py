"""Every event the agent logs, and every kind its ledger keeps, read out of the code itself.

What names an event is followed to where it is written: through constants, local names, tables, enumerations, and through the parameters of
functions to all who call them. A name that cannot be followed is an error of the code, not of the reader: names are a contract.
"""

import ast
import importlib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import product
from pathlib import Path

ROOT = Path(__file__).parents[2]
_METHODS = {"debug", "info", "warning", "error", "exception", "critical"}
_LOGGERS = {"log", "_log"}
_LEVELS = {"exception": "error", "log": "by urgency"}
_ENUMERATIONS = {"State": "agent.domain.order", "JobState": "agent.domain.job", "OfferState": "agent.domain.offer"}
_LEDGER = {"Go": (1, "event"), "OrderMove": (1, "event"), "record": (1, "event"), "append_event": (3, "kind"), "move_job": (2, "event")}
"""What writes into the history: the place and name of the argument that says what happened."""
_DATA = {"Go": (2, "data"), "OrderMove": (2, "data"), "record": (2, "data"), "append_event": (4, "data"), "move_job": (3, "data")}
Words = dict[str, set[str]]
"""Event -> the names of its fields; "…" where more come that the code does not spell out there."""


@dataclass(eq=False)
class _Module:
    path: Path
    tree: ast.Module

    @cached_property
    def parents(self) -> dict[ast.AST, ast.AST]:
        return {child: node for node in ast.walk(self.tree) for child in ast.iter_child_nodes(node)}

    def around(self, node: ast.AST) -> Iterator[ast.AST]:
        while node in self.parents:
            node = self.parents[node]
            yield node


@cache
def _modules() -> list[_Module]:
    """The product, without the servers that play at being somebody else's."""
    made = []
    for path in sorted((ROOT / "agent").rglob("*.py")):
        if "sandbox" in path.parts or "migrations" in path.parts:
            continue
        made.append(_Module(path, ast.parse(path.read_text(encoding="utf-8"))))
    return made


@cache
def _calls() -> dict[str, list[tuple[_Module, ast.Call]]]:
    """By the last part of what is called."""
    found = defaultdict(list)
    for module in _modules():
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Call):
                found[_called(node)].append((module, node))
    return found


def _called(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else call.func.id if isinstance(call.func, ast.Name) else ""


class Unfollowed(Exception):
    """A name that is not to be found in the code."""


def events_in(text: str) -> set[str]:
    """What a module of this text logs; for testing the reader itself."""
    module = _Module(Path("one.py"), ast.parse(text))
    calls = [node for node in ast.walk(module.tree) if isinstance(node, ast.Call) and _called(node) in _METHODS]
    return set().union(*(_texts(module, call.args[0]) for call in calls))


@cache
def logged() -> Words:
    """What `log.info(…)` and the like are given; the level is among the fields, as `(info)`."""
    words: Words = defaultdict(set)
    for method in [*_METHODS, "log"]:
        for module, call in _calls()[method]:
            if isinstance(call.func, ast.Attribute) and isinstance(call.func.value, ast.Name) and call.func.value.id in _LOGGERS:
                named = call.args[1 if method == "log" else 0]
                for event in _texts(module, named):
                    words[event] |= _keywords(call) | {f"({_LEVELS.get(method, method)})"}
    return dict(words)


@cache
def kept() -> Words:
    """What the ledger's history is given."""
    words: Words = defaultdict(set)
    for writer, (place, name) in _LEDGER.items():
        for module, call in _calls()[writer]:
            named = _argument(call, place, name)
            if named is None or not _writes(call):
                continue
            hands_on = writer in ("append_event", "OrderMove") and not isinstance(named, ast.Constant | ast.Name)
            data = None if hands_on or _is_parameter(module, named) else _argument(call, *_DATA[writer])
            for event in _texts(module, named):
                words[event] |= _keys(data)
    return dict(words)


def _is_parameter(module: _Module, named: ast.expr) -> bool:
    """The event is the caller's, and so are its data."""
    scope = next(one for one in module.around(named) if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef))
    return module.path.parent.name == "ledger" and isinstance(named, ast.Name) and named.id in _parameters(scope)


def _writes(call: ast.Call) -> bool:
    """Not a method of that name which is somebody else's."""
    return len(call.args) + len(call.keywords) >= 2


def _keywords(call: ast.Call) -> set[str]:
    return {keyword.arg or "…" for keyword in call.keywords}


def _keys(data: ast.expr | None) -> set[str]:
    if data is None:
        return set()
    if not isinstance(data, ast.Dict):
        return {"…"}
    return {key.value if isinstance(key, ast.Constant) else "…" for key in data.keys}


def _argument(call: ast.Call, place: int, name: str) -> ast.expr | None:
    by_name = next((keyword.value for keyword in call.keywords if keyword.arg == name), None)
    if by_name is not None:
        return by_name
    return call.args[place] if len(call.args) > place and not isinstance(call.args[place], ast.Starred) else None


# --- following a name -------------------------------------------------------------------------------------------
def _texts(module: _Module, node: ast.expr, depth: int = 0) -> set[str]:
    """Every text the expression can be."""
    if depth > 12:
        raise Unfollowed(f"{module.path}:{node.lineno} goes round in circles")
    match node:
        case ast.Constant(value=str(text)):
            return {text}
        case ast.JoinedStr(values=values):
            parts = [_texts(module, part.value if isinstance(part, ast.FormattedValue) else part, depth + 1) for part in values]
            return {"".join(chosen) for chosen in product(*parts)}
        case ast.Attribute():
            return _of_attribute(module, node, depth + 1)
        case ast.Name():
            return _of_name(module, node, depth + 1)
    return set().union(*(_texts(module, one, depth + 1) for one in _one_of(module, node)))


def _one_of(module: _Module, node: ast.expr) -> list[ast.expr]:
    """The expressions of which it is one."""
    match node:
        case ast.IfExp(body=one, orelse=other):
            return [one, other]
        case ast.Dict(values=values):
            return values
        case ast.Subscript(value=table) | ast.Call(func=ast.Attribute(attr="get", value=table)):
            return [table]
    raise Unfollowed(f"{module.path}:{node.lineno}: {ast.unparse(node)}")


def _of_attribute(module: _Module, node: ast.Attribute, depth: int) -> set[str]:
    if isinstance(node.value, ast.Name) and node.value.id in _ENUMERATIONS:
        kind = getattr(importlib.import_module(_ENUMERATIONS[node.value.id]), node.value.id)
        return {str(getattr(kind, node.attr))}
    if node.attr == "value":
        return _texts(module, node.value, depth)
    if node.attr == "event" and isinstance(node.value, ast.Name):
        made = {"notice": "Notice", "move": "OrderMove"}.get(node.value.id, "Go")
        found: set[str] = set()
        for other, call in _calls()[made]:
            if made == "Notice" and other is not module:
                continue
            named = _argument(call, 0 if made == "Notice" else 1, "event")
            if named is not None and ast.dump(named) != ast.dump(node):
                found |= _texts(other, named, depth)
        return found
    raise Unfollowed(f"{module.path}:{node.lineno}: {ast.unparse(node)}")


def _of_name(module: _Module, node: ast.Name, depth: int) -> set[str]:
    for scope in module.around(node):
        if not isinstance(scope, ast.FunctionDef | ast.AsyncFunctionDef | ast.Module):
            continue
        given = _assigned(scope, node.id)
        if given:
            return set().union(*(_texts(module, value, depth) for value in given))
        if not isinstance(scope, ast.Module) and node.id in (names := _parameters(scope)):
            return _of_parameter(module, scope, node.id, names, depth)
    if (home := _home_of(module, node.id)) is not None and (given := _assigned(home.tree, node.id)):
        return set().union(*(_texts(home, value, depth) for value in given))
    raise Unfollowed(f"{module.path}:{node.lineno}: {node.id}")


def _home_of(module: _Module, name: str) -> _Module | None:
    """The module of ours that the name is imported from."""
    imports = [node for node in ast.walk(module.tree) if isinstance(node, ast.ImportFrom) and name in [alias.name for alias in node.names]]
    places = {ROOT / f"{(node.module or '').replace('.', '/')}.py" for node in imports}
    return next((other for other in _modules() if other.path in places), None)


def _parameters(scope: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
    return [one.arg for one in (*scope.args.posonlyargs, *scope.args.args, *scope.args.kwonlyargs)]


def _of_parameter(module: _Module, scope: ast.FunctionDef | ast.AsyncFunctionDef, name: str, names: list[str], depth: int) -> set[str]:
    """From the function itself where it lists what it takes, in the parameter's type or in its `match`; else from everybody who calls."""
    if cases := _cases(scope, name):
        return cases
    annotated = next(one.annotation for one in (*scope.args.args, *scope.args.kwonlyargs) if one.arg == name)
    if isinstance(annotated, ast.Subscript) and ast.unparse(annotated.value) == "Literal":
        listed = annotated.slice.elts if isinstance(annotated.slice, ast.Tuple) else [annotated.slice]
        return {str(one.value) for one in listed if isinstance(one, ast.Constant)}
    place = names.index(name) - (1 if names[0] in ("self", "cls") else 0)
    private = scope.name.startswith("_")
    found: set[str] = set()
    for other, call in _calls()[scope.name]:
        if private and other is not module:
            continue
        if (named := _argument(call, place, name)) is not None:
            found |= _texts(other, named, depth)
    if not found:
        raise Unfollowed(f"{module.path}:{scope.lineno}: nobody calls {scope.name} with a {name}")
    return found


def _cases(scope: ast.AST, name: str) -> set[str]:
    matches = [node for node in ast.walk(scope) if isinstance(node, ast.Match) and ast.unparse(node.subject) == name]
    patterns = [one.pattern for match in matches for one in match.cases]
    values = [pattern.value for pattern in patterns if isinstance(pattern, ast.MatchValue)]
    return {str(value.value) for value in values if isinstance(value, ast.Constant)}


def _assigned(scope: ast.AST, name: str) -> list[ast.expr]:
    """What the name is given in that scope; a parameter that is given nothing else is none."""
    given: list[ast.expr] = []
    for node in ast.walk(scope):
        targets: list[ast.expr] = []
        if isinstance(node, ast.Assign):
            targets, value = node.targets, node.value
        elif isinstance(node, ast.AnnAssign | ast.NamedExpr) and node.value is not None:
            targets, value = [node.target], node.value
        for target in targets:
            pairs = [(target, value)]
            if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
                pairs = list(zip(target.elts, value.elts, strict=True))
            given += [one for named, one in pairs if isinstance(named, ast.Name) and named.id == name]
    return given
