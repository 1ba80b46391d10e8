"""A build needs what the program needs: tests are made where what they need is there or where they are asked for, and a
warning of another compiler stops nobody but those who ask for that."""
import json
import os
import pathlib
import shutil
import subprocess

import pytest

from conftest import ROOT

NVCC = shutil.which("nvcc") or (os.environ.get("CUDACXX"))
PRESETS = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not NVCC, reason="no nvcc here"))]


@pytest.fixture(scope="module")
def without_cmocka(tmp_path_factory):
    """pkg-config's files, linked into a folder, without cmocka's."""
    folder = tmp_path_factory.mktemp("pkgconfig")
    path = subprocess.run(["pkg-config", "--variable", "pc_path", "pkg-config"], check=True, capture_output=True, text=True).stdout
    for file in (f for place in path.strip().split(":") for f in pathlib.Path(place).glob("*.pc")):
        if file.stem != "cmocka" and not (folder / file.name).exists():
            (folder / file.name).symlink_to(file)
    return dict(os.environ, PKG_CONFIG_LIBDIR=str(folder), PKG_CONFIG_PATH="")


def configure(preset, build, env, *options):
    return subprocess.run(["cmake", "--preset", preset, "-B", build, *options], cwd=ROOT, env=env, capture_output=True, text=True,
                          check=False)


@pytest.mark.parametrize("preset", PRESETS)
def test_without_cmocka_the_program_alone_is_built(preset, without_cmocka, tmp_path):
    result = configure(preset, tmp_path, without_cmocka)
    assert result.returncode == 0, result.stderr
    assert "Tests: not built" in result.stdout
    commands = json.loads((tmp_path / "compile_commands.json").read_text())
    kinds = {pathlib.Path(c["file"]).suffix for c in commands}
    assert kinds == ({".c", ".cu"} if preset == "cuda" else {".c"})
    assert not [c["file"] for c in commands if "/tests/" in c["file"] or "Werror" in c["command"]]

    strict = configure(preset, tmp_path, without_cmocka, "-DTPO_WERROR=ON")
    assert strict.returncode == 0, strict.stderr
    commands = json.loads((tmp_path / "compile_commands.json").read_text())
    assert not [c["file"] for c in commands if "-Werror" not in c["command"]]


def test_tests_that_are_asked_for_need_cmocka(without_cmocka, tmp_path):
    result = configure("cpu", tmp_path, without_cmocka, "-DTPO_TESTS=ON")
    assert result.returncode != 0 and "cmocka" in result.stderr


def test_tests_are_built_where_cmocka_is(tmp_path):
    result = configure("cpu", tmp_path, os.environ)
    assert result.returncode == 0, result.stderr
    assert "/tests/base/test_error.c" in (tmp_path / "compile_commands.json").read_text()
