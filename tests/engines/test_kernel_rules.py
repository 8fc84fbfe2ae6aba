"""The rules by which kernels are written, read off their source.

Numba stays in the engine that is compiled, a kernel is one function of its file (else Numba could not find it in its
cache), and only the files that say how compiling is done name Numba's decorators.
"""

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "src" / "byhand"
ENGINE = SOURCE / "engines" / "cpu"
MODULES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in sorted(SOURCE.rglob("*.py"))}
COMPILERS = {"cfunc", "generated_jit", "guvectorize", "jit", "jit_module", "njit", "prange", "stencil", "vectorize"}
OURS = {"kernel", "function", "exact"}


def place(path: Path, node: ast.AST) -> str:
    return f"{path.relative_to(SOURCE)}:{getattr(node, 'lineno', 0)}"


def libraries(node: ast.AST) -> set[str]:
    """The first part of what an import names."""
    if isinstance(node, ast.Import):
        return {alias.name.partition(".")[0] for alias in node.names}
    if isinstance(node, ast.ImportFrom) and not node.level:
        return {(node.module or "").partition(".")[0]}
    return set()


def functions(tree: ast.AST, *decorators: str) -> Iterator[ast.FunctionDef]:
    """All functions of a module, wherever they are, that carry one of these decorators."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            names = {each.id for each in node.decorator_list if isinstance(each, ast.Name)}
            if names & set(decorators):
                yield node


def from_kernel(tree: ast.AST) -> set[str]:
    """Which of the decorators of kernels the module has under their own name."""
    imported = (node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom))
    found = (alias for node in imported if node.module == "byhand.engines.cpu.kernel" for alias in node.names)
    return {alias.name for alias in found if alias.asname is None} & OURS


KERNELS = [
    (path, node)
    for path, tree in MODULES.items()
    if "kernel" in from_kernel(tree)
    for node in functions(tree, "kernel")
]


def test_the_modules_and_their_kernels_are_found():
    assert ENGINE / "kernel.py" in MODULES
    assert KERNELS


def test_numba_is_imported_only_by_the_cpu_engine():
    wrong = [
        place(path, node)
        for path, tree in MODULES.items()
        if ENGINE not in path.parents
        for node in ast.walk(tree)
        if libraries(node) & {"numba", "llvmlite"}
    ]
    assert not wrong


def test_numbas_decorators_stay_where_compiling_is_defined():
    own = {ENGINE / "kernel.py", ENGINE / "crew.py"}
    wrong = [
        place(path, node)
        for path, tree in MODULES.items()
        if path not in own and ENGINE / "simd" not in path.parents
        for node in ast.walk(tree)
        if (isinstance(node, ast.Name) and node.id in COMPILERS)
        or (isinstance(node, ast.Attribute) and node.attr in COMPILERS)
        or (isinstance(node, ast.ImportFrom) and {alias.name for alias in node.names} & COMPILERS)
    ]
    assert not wrong


def test_what_is_compiled_stands_at_the_top_of_its_module():
    wrong = [
        place(path, node)
        for path, tree in MODULES.items()
        for node in functions(tree, *from_kernel(tree))
        if node not in tree.body
    ]
    assert not wrong


def test_every_kernel_takes_a_job_and_the_number_of_the_thread():
    wrong = [place(path, node) for path, node in KERNELS if ast.unparse(node.args) != "job, me"]
    assert not wrong


def test_no_two_kernels_share_a_name():
    names = Counter(node.name for _, node in KERNELS)
    assert max(names.values()) == 1, names.most_common(3)


def test_kernels_raise_nothing_and_define_nothing():
    forbidden = (ast.Raise, ast.Try, ast.With, ast.Assert, ast.Lambda, ast.FunctionDef, ast.ClassDef, ast.Yield)
    wrong = [
        place(path, inner)
        for path, node in KERNELS
        for statement in node.body
        for inner in ast.walk(statement)
        if isinstance(inner, forbidden)
    ]
    assert not wrong
