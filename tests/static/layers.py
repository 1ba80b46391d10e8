#!/usr/bin/env python3
"""An #include goes down the layers, never up, and every folder of src/ has its place in the order.

cuda/ is part of the backend layer; its own headers are included without a folder."""
import pathlib
import re
import sys

# From the bottom up. Layers in one row do not include one another.
ORDER = [["base"], ["config"], ["backend"], ["store"], ["comm"], ["text", "data"], ["model"], ["engine"], ["train"],
         ["pairs", "judge"], ["report"], ["run"], ["cli"]]
ROOT = pathlib.Path(__file__).resolve().parents[2]


def level(layer):
    for i, row in enumerate(ORDER):
        if layer in row:
            return i
    return None


def main():
    problems = []
    for folder in sorted((ROOT / "src").iterdir()):
        if folder.is_dir() and level(folder.name) is None:
            problems.append(f"src/{folder.name}: not in the order of layers")
    sources = [(p, p.relative_to(ROOT / "src").parts[0]) for p in (ROOT / "src").rglob("*.[ch]")]
    sources += [(p, p.stem) for p in (ROOT / "include" / "tpo").glob("*.h")]
    sources += [(p, "backend") for p in (ROOT / "cuda").glob("*.cu*")]
    for path, layer in sorted(sources):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            match = re.match(r'\s*#\s*include\s+"([^"]+)"', line)
            if not match:
                continue
            parts = match.group(1).split("/")
            target = parts[1].removesuffix(".h") if parts[0] == "tpo" else parts[0]
            where = f"{path.relative_to(ROOT)}:{number}"
            if len(parts) == 1 and path.parent == ROOT / "cuda":
                if not (path.parent / parts[0]).is_file():
                    problems.append(f"{where}: cuda/{parts[0]} is not there")
            elif len(parts) == 1 or level(target) is None:
                problems.append(f"{where}: \"{match.group(1)}\" does not name a layer")
            elif target != layer and level(target) >= level(layer):
                problems.append(f"{where}: {layer} includes {target}, which is not below it")
    print("\n".join(problems) if problems else f"layers: {len(sources)} files include downwards only")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
