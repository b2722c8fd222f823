"""Parts of a module without the rest: settings are checked before torch is imported.

Settings lie next to the code that they configure, and importing that code takes seconds. An excerpt
reads a module's source and executes a definition when it is first used: a dataclass of settings,
the constants and functions that its checks use, and nothing else. What is refused here is refused
by the same code as later; only packages that a check really uses are imported.
"""

import ast
import builtins
from importlib import import_module
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
LIGHT = ("configs",)
"""Packages of ours that are imported as they are; their exceptions must be the real ones."""


class Excerpt(dict[str, Any]):
    """The global names of a module; each is defined when it is first looked up.

    Args:
        name: of the module, such as ``training.config``.
        known: excerpts made so far, by name; definitions imported from others are looked up there.
    """

    def __init__(self, name: str, known: dict[str, "Excerpt"] | None = None) -> None:
        path = _source(name)
        if path is None:
            raise ModuleNotFoundError(f"no module of ours is named {name}", name=name)
        super().__init__(__name__=name, __file__=str(path), __builtins__=builtins)
        self._path = path
        self._known = {} if known is None else known
        self._known[name] = self
        tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
        self._statements = {bound: node for node in tree.body for bound in _bound_names(node)}

    def __missing__(self, name: str) -> Any:
        node = self._statements.get(name)
        if node is None:
            raise KeyError(name)
        if isinstance(node, ast.Import | ast.ImportFrom):
            self[name] = self._imported(node, name)
        else:
            for needed in _needed_names(node):
                if needed in self._statements and needed not in _bound_names(node):
                    self[needed]
            module = ast.Module([_Unannotated().visit(node)], type_ignores=[])
            exec(compile(module, str(self._path), "exec"), self, self)
        return self[name]

    def _imported(self, node: ast.Import | ast.ImportFrom, name: str) -> Any:
        alias = next(alias for alias in node.names if _alias_name(alias) == name)
        if isinstance(node, ast.Import):
            module = import_module(alias.name)
            return module if alias.asname else import_module(name)
        source = str(node.module)
        if source.split(".")[0] not in LIGHT and _source(source) is not None:
            other = self._known.get(source) or Excerpt(source, self._known)
            if alias.name in other.names:
                return other[alias.name]
        module = import_module(source)
        if hasattr(module, alias.name):
            return getattr(module, alias.name)
        return import_module(f"{source}.{alias.name}")

    @property
    def names(self) -> set[str]:
        """What the module defines at its top level."""
        return set(self._statements)


class _Unannotated(ast.NodeTransformer):
    """Removes the annotations of functions, whose types would be imported; fields keep theirs."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        arguments = node.args
        every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        for argument in [*every, arguments.vararg, arguments.kwarg]:
            if argument is not None:
                argument.annotation = None
        return node


def _source(name: str) -> Path | None:
    """The file of a module of this checkout."""
    place = ROOT / Path(*name.split("."))
    candidates = (place.with_suffix(".py"), place / "__init__.py")
    return next((path for path in candidates if path.is_file()), None)


def _alias_name(alias: ast.alias) -> str:
    return alias.asname or alias.name.split(".")[0]


def _bound_names(node: ast.AST) -> set[str]:
    """Names that a statement at the top level defines."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {node.name}
    if isinstance(node, ast.Import | ast.ImportFrom):
        return {_alias_name(alias) for alias in node.names}
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        return {node.id}
    inner = (_bound_names(child) for child in ast.iter_child_nodes(node))
    return {name for names in inner for name in names}


def _needed_names(node: ast.AST) -> set[str]:
    """Names that are looked up when a statement is executed; bodies of functions are not yet."""
    if isinstance(node, ast.Name):
        return {node.id} if isinstance(node.ctx, ast.Load) else set()
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        used = [*node.decorator_list, *node.args.defaults, *filter(None, node.args.kw_defaults)]
    else:
        used = list(ast.iter_child_nodes(node))
    return {name for child in used for name in _needed_names(child)}
