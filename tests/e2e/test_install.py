"""`cmake --install` gives a library that other C programs use: the README's example, compiled and run."""
import pathlib
import re
import subprocess

import pytest

from conftest import BUILD, ROOT, environment


@pytest.fixture(scope="module")
def prefix(tmp_path_factory):
    path = tmp_path_factory.mktemp("prefix")
    subprocess.run(["cmake", "--install", BUILD, "--prefix", path], check=True, capture_output=True)
    return path


def readme_example():
    blocks = re.findall(r"```c\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    assert len(blocks) == 1
    return blocks[0]


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_the_readme_example_compiles_and_runs(prefix, tiny_model, tmp_path, compiler):
    source = tmp_path / "example.c"
    source.write_text(readme_example())
    pc = next(pathlib.Path(prefix).rglob("tpo.pc"))
    flags = subprocess.run(["pkg-config", "--cflags", "--libs", "tpo"], env=environment({"PKG_CONFIG_PATH": str(pc.parent)}),
                           check=True, capture_output=True, text=True).stdout.split()
    subprocess.run([compiler, "-std=c11", "-Wall", "-Wextra", "-Werror", source, "-o", tmp_path / "example", *flags], check=True)
    out = subprocess.run([tmp_path / "example", tiny_model, "the man and"], check=True, capture_output=True, text=True,
                         env=environment()).stdout
    lines = [line.split(maxsplit=1) for line in out.splitlines()]
    assert len(lines) >= 3 and all(float(line[0]) < 0 for line in lines)


def test_every_public_header_stands_alone(prefix, tmp_path):
    headers = sorted(pathlib.Path(prefix, "include", "tpo").glob("*.h"))
    assert len(headers) >= 10
    for header in headers:
        source = tmp_path / "one.c"
        source.write_text(f"#include <tpo/{header.name}>\nint main(void) {{ return 0; }}\n")
        subprocess.run(["gcc", "-std=c11", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-I", f"{prefix}/include", source], check=True)


def test_the_installed_program_runs(prefix):
    out = subprocess.run([pathlib.Path(prefix, "bin", "tpo"), "--version"], check=True, capture_output=True, text=True,
                         env=environment()).stdout
    for word in ("tpo 0.1.0", "flags -", "backends: cpu", "HDF5 1.", "Open MPI", "Jansson", "PCRE2", "libyaml", "utf8proc",
                 "xxHash", "zlib"):
        assert word in out
