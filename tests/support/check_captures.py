#!/usr/bin/env python3
"""Finds lambdas that capture `this` without saying so.

nvcc's front end writes members as `this->member` before the host compiler sees them, so that `[&]` captures `this` in
another place there than in a .cpp file: closures of one name with two layouts, of which the linker keeps one. Lambdas
of headers say `[&, this]`.

    check_captures.py COMPILER INCLUDE_DIR [option of the compiler...]

COMPILER is a clang++, whose syntax tree is read. Exit status: 0 none, 1 some (a line each), 2 a header did not compile.
"""
import pathlib
import re
import subprocess
import sys
import tempfile

NODE = re.compile(r"^([ |`-]*)(\w+) 0x")


def implicit_captures(tree):
    """Places `file:line:column` of lambdas that capture `this` implicitly, from a text dump of a syntax tree."""
    found = set()
    lambdas = []  # (depth, place) of the nodes above
    lists = []  # depths of initializers of captures whose types are not known yet
    for line in tree:
        match = NODE.match(line)
        if match is None:
            continue
        depth = len(match.group(1))
        while lambdas and lambdas[-1][0] >= depth:
            lambdas.pop()
        while lists and lists[-1] >= depth:
            lists.pop()
        kind = match.group(2)
        if kind == "LambdaExpr":
            place = re.search(r"\(lambda at ([^)]*)\)", line)
            lambdas.append((depth, place.group(1) if place else "?"))
        elif kind == "ParenListExpr" and lambdas and depth == lambdas[-1][0] + 2:
            lists.append(depth)
        elif kind == "CXXThisExpr" and lambdas and line.rstrip().endswith("implicit this"):
            above = lists[-1] if lists and lists[-1] > lambdas[-1][0] else lambdas[-1][0]
            if depth == above + 2 and (above != lambdas[-1][0] or "ParenList" not in line):
                found.add(lambdas[-1][1])
    return found


def main(arguments):
    if len(arguments) < 2:
        print(__doc__)
        return 2
    compiler, include, *options = arguments
    root = pathlib.Path(include)
    headers = sorted(path.relative_to(root).as_posix() for path in root.rglob("*.hpp"))
    with tempfile.NamedTemporaryFile("w", suffix=".cpp") as source:
        source.writelines(f"#include <{header}>\n" for header in headers)
        source.flush()
        command = [compiler, "-std=c++20", "-fsyntax-only", "-fno-color-diagnostics", f"-I{include}", *options,
                   "-Xclang", "-ast-dump", "-Xclang", "-ast-dump-filter", "-Xclang", "rlhf::", source.name]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, errors="replace") as dump:
            found = implicit_captures(dump.stdout)
        if dump.returncode != 0:
            print(f"{compiler} could not read the headers")
            return 2
    for place in sorted(found):
        print(f"{place}: this lambda captures `this` implicitly; write [&, this]")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
