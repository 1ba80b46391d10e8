#!/usr/bin/env python3
"""Files and functions stay readable, sources hold no machine's paths, and nothing is left half done."""
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
MAX_LINES = 700
UNFINISHED = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X|HA" + r"CK)\b")
PLACES = re.compile(r"(^|[\s\"'=(])/(home|work|root|tmp/w)/")


def main():
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True)
    problems = []
    for name in listed.stdout.split("\n"):
        path = ROOT / name
        if not name or not path.is_file() or path.suffix not in {".c", ".h", ".cu", ".cuh", ".py", ".sh", ".md", ".yaml", ".cmake", ""}:
            continue
        try:
            lines = path.read_text().splitlines()
        except UnicodeDecodeError:
            continue
        if path.suffix in {".c", ".h", ".cu", ".cuh", ".py"} and len(lines) > MAX_LINES:
            problems.append(f"{name}: {len(lines)} lines; is a module hiding in it?")
        for number, line in enumerate(lines, 1):
            if UNFINISHED.search(line) and path.suffix != "":
                problems.append(f"{name}:{number}: unfinished: {line.strip()[:80]}")
            if PLACES.search(line):
                problems.append(f"{name}:{number}: a machine's path: {line.strip()[:80]}")
    print("\n".join(problems) if problems else "text: files are short, finished and name no machine")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
