"""How many threads a rank takes, and that it says who decided."""
import os
import re

import pytest


@pytest.fixture(scope="module")
def prompts(tmp_path_factory):
    path = tmp_path_factory.mktemp("prompts") / "p.jsonl"
    path.write_text('{"instruction": "Sing."}\n')
    return path


def told(tpo, model, prompts, out, *args, env=None, ranks=0):
    result = tpo("generate", "--model", model, "--prompts", prompts, "--out", out, "--k", 2, "--max-tokens", 8, "--set",
                 "thought.on_budget=stop", "--verbose", "--backend", "cpu", *args, env=env, ranks=ranks)
    text = result.stderr.decode()
    assert result.returncode == 0, text
    lines = re.findall(r"threads of this rank: (\d+) \((.*)\)", text)
    assert lines, text
    return int(lines[0][0]), lines[0][1]


def test_threads_that_are_given_are_the_last_word(tpo, tiny_model, prompts, tmp_path):
    threads, why = told(tpo, tiny_model, prompts, tmp_path / "s.h5", "--threads", 3, env={"SLURM_CPUS_PER_TASK": "1"})
    assert threads == 3 and why == "model.threads, --threads"


@pytest.mark.parametrize("ranks", [0, 2])
def test_slurm_and_the_mask_bound_the_threads(tpo, tiny_model, prompts, tmp_path, ranks):
    assert told(tpo, tiny_model, prompts, tmp_path / "s.h5", env={"SLURM_CPUS_PER_TASK": "1"}, ranks=ranks)[0] == 1
    threads, why = told(tpo, tiny_model, prompts, tmp_path / "t.h5", env={"SLURM_CPUS_PER_TASK": "4096"}, ranks=ranks)
    assert threads >= 1 and "SLURM" not in why
    assert ("affinity mask" in why or "cores' time by /" in why) and (ranks == 0 or re.search(r"shared by (the host's )?2 ranks$", why))


def test_ranks_with_cores_of_their_own_share_none(tpo, tiny_model, prompts, tmp_path):
    """The mask of one core each, as mpirun binds them."""
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("there is one core")
    bound = {"OMPI_MCA_hwloc_base_binding_policy": "core", "OMPI_MCA_rmaps_base_mapping_policy": "core"}
    threads, why = told(tpo, tiny_model, prompts, tmp_path / "s.h5", env=bound, ranks=2)
    assert (threads, why) == (1, "1 core of the affinity mask")
