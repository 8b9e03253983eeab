#!/usr/bin/env python3
"""Packages the reference writer function: its handler and the modules that it imports, which need nothing but the boto3 of Lambda's Python runtimes.

    scripts/package_writer writer.zip      prints the size; scripts/writer.yaml deploys it

The zip file is the same, byte by byte, whenever the modules are.
"""

import ast
import sys
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HANDLER = "pipelines.writer_function"
PACKAGES = ("pipelines", "transforms")
LARGEST_BYTES = 250 << 20
"""Of a function's files (https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html)."""


def modules() -> dict[str, Path]:
    """The project's modules that the handler imports, and they in turn, with the packages they are in; by their places in the zip file."""
    found: dict[str, Path] = {}
    pending = [HANDLER]
    while pending:
        name = pending.pop()
        if path := _file_of(name):
            place = str(path.relative_to(ROOT))
            if place not in found:
                found[place] = path
                pending += [*_imported(path), name.rpartition(".")[0]]
    return dict(sorted(found.items()))


def _file_of(name: str) -> Path | None:
    """The file of a module of ours; None for other modules, and for names in one."""
    if name.partition(".")[0] not in PACKAGES:
        return None
    path = ROOT.joinpath(*name.split("."))
    return next((one for one in (path.with_suffix(".py"), path / "__init__.py") if one.is_file()), None)


def _imported(path: Path) -> Iterator[str]:
    """What may be a module among the imports of a file, but for those that are only for types."""
    pending: list[ast.AST] = [ast.parse(path.read_bytes())]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.Import):
            yield from (one.name for one in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (node.module, *(f"{node.module}.{one.name}" for one in node.names))
        pending += ast.iter_child_nodes(node)


def package(target: Path) -> int:
    """Writes the zip file; bytes of the files in it."""
    size = 0
    target.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, path in modules().items():
            entry = zipfile.ZipInfo(name)
            entry.external_attr = 0o644 << 16
            content = path.read_bytes()
            archive.writestr(entry, content, zipfile.ZIP_DEFLATED)
            size += len(content)
    return size


def main(argv: Sequence[str]) -> int:
    """Exit code: 0 written, 1 too large for Lambda, 2 wrong usage."""
    if len(argv) != 1 or argv[0].startswith("-"):
        sys.stderr.write("usage: scripts/package_writer FILE.zip\n")
        return 2
    size = package(Path(argv[0]))
    sys.stdout.write(f"{argv[0]}: {len(modules())} modules, {size / 1000:.1f} kB, {Path(argv[0]).stat().st_size / 1000:.1f} kB zipped\n")
    return int(size > LARGEST_BYTES)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
