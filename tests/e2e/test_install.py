"""`cmake --install` gives a library that other C programs use: what it exports, and tests/examples compiled and run with it."""
import pathlib
import re
import subprocess

import h5py
import pytest

import tiny
from conftest import BUILD, ROOT, environment

EXAMPLES = ROOT / "tests" / "examples"
COMPILERS = ["gcc", "clang"]


@pytest.fixture(scope="module")
def prefix(tmp_path_factory):
    path = tmp_path_factory.mktemp("prefix")
    subprocess.run(["cmake", "--install", BUILD, "--prefix", path], check=True, capture_output=True)
    return path


@pytest.fixture(scope="module", params=COMPILERS)
def example(prefix, tmp_path_factory, request):
    """Compiles an example as its reader would, with pkg-config's flags, and runs it: example(name, *arguments)."""
    folder = tmp_path_factory.mktemp(request.param)
    pc = next(pathlib.Path(prefix).rglob("tpo.pc"))
    flags = subprocess.run(["pkg-config", "--cflags", "--libs", "tpo"], env=environment({"PKG_CONFIG_PATH": str(pc.parent)}),
                           check=True, capture_output=True, text=True).stdout.split()

    def run(name, *args, ranks=0):
        program = folder / name
        if not program.exists():
            subprocess.run([request.param, "-std=c11", "-Wall", "-Wextra", "-Werror", EXAMPLES / f"{name}.c", "-o", program, *flags],
                           check=True)
        launch = ["timeout", "-k", "2", "60"] + (["mpirun", "-n", str(ranks)] if ranks else [])
        result = subprocess.run([*launch, program, *map(str, args)], capture_output=True, text=True, errors="replace",
                                env=environment(), check=False)
        assert result.returncode == 0, result.stderr
        return result.stdout

    return run


def test_every_example_is_run_here():
    assert sorted(p.stem for p in EXAMPLES.glob("*.c")) == ["judge_and_pair", "logprobs", "samples"]
    assert all(len(p.read_text().splitlines()) <= 60 for p in EXAMPLES.glob("*.c"))


def test_the_readme_shows_the_example_as_it_is():
    blocks = re.findall(r"```c\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    assert blocks == [(EXAMPLES / "logprobs.c").read_text()]


def test_logprobs_prints_one_a_token(example, tiny_model):
    lines = [line.split(maxsplit=1) for line in example("logprobs", tiny_model, "the man and").splitlines()]
    assert len(lines) >= 3 and all(float(line[0]) < 0 for line in lines)


def test_samples_prints_thoughts_apart_and_the_same_on_two_ranks(example, tiny_model):
    out = example("samples", tiny_model, "Say something.")
    parts = re.findall(r"^\[(\d)\] (thought|response): (.*?)(?=^\[\d\] |\Z)", out, re.M | re.S)
    assert [(k, name) for k, name, _ in parts] == [(k, name) for k in "1234" for name in ("thought", "response")]
    assert all(text.strip() for _, _, text in parts)
    assert len({text for _, name, text in parts if name == "response"}) > 1
    assert example("samples", tiny_model, "Say something.", ranks=2) == out


def test_judge_and_pair_prints_the_pairs_that_the_program_selects(example, tpo, tiny_model, tmp_path):
    tiny.write_prompts(tmp_path / "prompts.jsonl", "pair", 6)
    tpo.ok("generate", "--model", tiny_model, "--prompts", tmp_path / "prompts.jsonl", "--k", 6, "--max-tokens", 40,
           "--out", tmp_path / "samples.h5")
    out = example("judge_and_pair", tmp_path / "samples.h5")
    tpo.ok("judge", "--judge", "rule", "--samples", tmp_path / "samples.h5", "--out", tmp_path / "scored.h5")
    tpo.ok("pairs", "--samples", tmp_path / "scored.h5", "--length-penalty", "auto", "--out", tmp_path / "pairs.h5")
    with h5py.File(tmp_path / "pairs.h5") as f:
        expected = [(f"{c:.3f}", f"{r:.3f}") for c, r in zip(f["chosen_score"][:], f["rejected_score"][:])]
    assert len(expected) >= 2
    scores = re.findall(r"^  (?:chosen|rejected): score (-?\d+\.\d{3}): ", out, re.M)
    assert list(zip(scores[::2], scores[1::2])) == expected
    assert re.search(rf"^{len(expected)} pairs of 6 prompts, length penalty 0\.\d\d$", out, re.M)


def declared_functions(headers):
    """Names of the functions that are declared outside of comments, macros, types and inline functions."""
    names = []
    for header in headers:
        text = re.sub(r"/\*.*?\*/", " ", header.read_text(), flags=re.S)
        text = re.sub(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", " ", text, flags=re.M)
        text = re.sub(r"^static inline [^;{]*\{.*?^\}", " ", text, flags=re.S | re.M)  # a header's own, not the library's
        while "{" in text:
            text = re.sub(r"\{[^{}]*\}", " ", text)
        calls = [re.search(r"\b(tpo_\w+)\s*\(", statement) for statement in text.split(";")]
        names += [call.group(1) for call in calls if call]
    return names


def exported_symbols(library):
    listed = subprocess.run(["nm", "-D", "--defined-only", "--format=posix", library], check=True, capture_output=True, text=True)
    return {line.split()[0] for line in listed.stdout.splitlines()}


@pytest.mark.parametrize("build", [BUILD, ROOT / "build" / "emulated", ROOT / "build" / "cuda"], ids=["installed", "emulated", "cuda"])
def test_the_library_exports_what_the_headers_declare_and_nothing_else(prefix, build):
    library = next(pathlib.Path(prefix if build == BUILD else build).rglob("libtpo.so"), None)
    if not library:
        pytest.skip(f"{build} is not built")
    exported = exported_symbols(library)
    declared = declared_functions(pathlib.Path(prefix, "include", "tpo").glob("*.h"))
    assert len(declared) > 150 and len(set(declared)) == len(declared)
    assert sorted(exported - set(declared)) == [], "exported without a declaration in include/tpo"
    assert sorted(set(declared) - exported) == [], "declared without TPO_API, or not defined"


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
