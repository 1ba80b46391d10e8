#!/usr/bin/env python3
"""An #include goes down the layers, never up.

CMakeLists.txt is the one list: `tpo_layer(name layer...)` names what a layer may use, and a layer is declared after those
that it uses. Every edge that an include needs is declared there, and every declared one has an include that needs it.
cuda/ is part of the backend layer; its headers are included without a folder. src/cli may use every layer. A test may use
its layer, all that stands below it, and what tests/unit.cmake names besides.

A layer also names each library whose header it sees, through other layers' headers too: otherwise it compiles only where
that header lies among the system's own."""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
INCLUDE = re.compile(r'\s*#\s*include\s+"([^"]+)"')
LIBRARY = re.compile(r"\s*#\s*include\s+<([^>]+)>")
LIBRARIES = {"jansson.h": "PkgConfig::JANSSON", "yaml.h": "PkgConfig::YAML", "pcre2.h": "PkgConfig::PCRE2",
             "utf8proc.h": "PkgConfig::UTF8PROC", "curl/curl.h": "PkgConfig::CURL", "xxhash.h": "PkgConfig::XXHASH",
             "zlib.h": "ZLIB::ZLIB", "hdf5.h": "hdf5::hdf5", "mpi.h": "MPI::MPI_C"}
SOURCES = {".c", ".h", ".cpp", ".cu", ".cuh"}


def declared(path, command, known):
    """{layer: [those it names]}, in the order of the file; CMake targets that are no layers are left out."""
    edges = {}
    for name, rest in re.findall(rf"^\s*{command}\((\w+)([^)]*)\)", (ROOT / path).read_text(), re.M):
        edges[name] = [word for word in rest.split() if word in known or word in edges]
    return edges


def below(edges, layer):
    found, todo = set(), [layer]
    while todo:
        for other in edges.get(todo.pop(), []):
            if other not in found:
                found.add(other)
                todo.append(other)
    return found


def sources(folder):
    return sorted(p for p in (ROOT / folder).rglob("*") if p.suffix in SOURCES)


def includes(path):
    for number, line in enumerate(path.read_text().splitlines(), 1):
        match = INCLUDE.match(line)
        if match:
            yield f"{path.relative_to(ROOT)}:{number}", match.group(1)


def layer_of(name):
    """The layer that an include names: "tpo/model.h" and "model/params.h" are the model's."""
    parts = name.split("/")
    return parts[1].removesuffix(".h") if parts[0] == "tpo" else parts[0] if len(parts) > 1 else None


def check_sources(edges, problems):
    used = {layer: set() for layer in edges}
    files = [(p, p.relative_to(ROOT / "src").parts[0]) for p in sources("src")]
    files += [(p, p.stem) for p in sources("include/tpo")]
    files += [(p, "backend") for p in sources("cuda")]
    for path, layer in files:
        if layer not in edges and layer != "cli":
            problems.append(f"{path.relative_to(ROOT)}: {layer} is no layer of CMakeLists.txt")
            continue
        for where, name in includes(path):
            target = layer_of(name)
            if path.is_relative_to(ROOT / "cuda") and any((d / name).is_file() for d in (path.parent, ROOT / "cuda")):
                continue
            if target not in edges and not (layer == "cli" and target == "cli"):
                problems.append(f'{where}: "{name}" does not name a layer')
            elif target != layer and layer != "cli":
                used[layer].add(target)
                if target not in edges[layer]:
                    problems.append(f"{where}: {layer} includes {target}, an edge that CMakeLists.txt does not have")
    for layer, targets in edges.items():
        problems.extend(f"CMakeLists.txt: {layer} names {target}, which nothing in it includes"
                        for target in targets if target not in used[layer])
    return len(files)


def libraries_seen(path, known):
    """What `path` includes of LIBRARIES, itself and through headers of this repository."""
    if path not in known:
        known[path] = set()  # an include that comes back to it adds nothing
        lines = path.read_text().splitlines()
        known[path] |= {LIBRARIES[m.group(1)] for m in map(LIBRARY.match, lines) if m and m.group(1) in LIBRARIES}
        for _, name in includes(path):
            for header in (path.parent / name, ROOT / "src" / name, ROOT / "include" / name):
                if header.is_file():
                    known[path] |= libraries_seen(header, known)
                    break
    return known[path]


def check_libraries(problems):
    known = {}
    for layer, rest in re.findall(r"^tpo_layer\((\w+)([^)]*)\)", (ROOT / "CMakeLists.txt").read_text(), re.M):
        for path in sources(f"src/{layer}"):
            problems.extend(f"{path.relative_to(ROOT)}: includes a header of {library}, which {layer} does not name in CMakeLists.txt"
                            for library in sorted(libraries_seen(path, known) - set(rest.split())))


def check_tests(edges, problems):
    more = declared("tests/unit.cmake", "tpo_test_needs", edges)
    for layer in edges:
        folder = ROOT / "tests" / layer
        if not folder.is_dir():
            continue
        allowed = {layer} | below(edges, layer)
        for other in more.get(layer, []):
            allowed |= {other} | below(edges, other)
        for path in sources(folder.relative_to(ROOT)):
            for where, name in includes(path):
                own = (ROOT / "tests" / name).is_file() or (path.parent / name).is_file()
                if not own and layer_of(name) not in allowed:
                    problems.append(f'{where}: "{name}" is beyond {layer} and what tests/unit.cmake names for it')


def main():
    problems = []
    edges = declared("CMakeLists.txt", "tpo_layer", {})
    count = check_sources(edges, problems)
    check_libraries(problems)
    check_tests(edges, problems)
    print("\n".join(problems) if problems else
          f"layers: {count} files of {len(edges)} layers include downwards only, along {sum(map(len, edges.values()))} edges")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
