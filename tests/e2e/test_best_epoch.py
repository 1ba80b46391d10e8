"""Which epoch's weights a run keeps. The judge is a program that counts how often each validation instruction came to it:
once for the start model, once for each epoch, once for what was kept. So a test chooses which epoch is the best."""
import json
import signal

import h5py
import pytest

import tiny

EPOCHS = 3
CONFIG = """
seed: 5
model: {{path: {model}, dtype: fp32}}
thought: none
judge: "command:python3 {folder}/judge.py"
data: {{train: {folder}/train.jsonl, validation: {folder}/validation.jsonl, prompts_per_iteration: 8, validation_prompts: 4}}
sampling: {{k: 3, temperature: 1, top_p: 1, max_tokens: 12}}
pairs: {{length_penalty: 0}}
train: {{learning_rate: 1e-3, schedule: constant, warmup: 0, batch: 4, epochs: {epochs}}}
run: {{dir: {folder}/run, iterations: 1, validation_temperature: 1, validate_each_epoch: {validate}, deadline: 60}}
"""
# With a file `kill`, the rank that judges epoch 3 gets the signal in it before it gets a score.
JUDGE = """
import json, os, signal, sys, time
folder = os.path.dirname(os.path.abspath(__file__))
for line in sys.stdin:
    item = json.loads(line)
    if item["id"].startswith("validation"):
        with open(os.path.join(folder, "seen-" + item["id"]), "a") as f:
            f.write(".")
            epoch = f.tell() - 1
        if epoch == 3 and os.path.exists(os.path.join(folder, "kill")):
            number = int(open(os.path.join(folder, "kill")).read())
            os.unlink(os.path.join(folder, "kill"))
            os.kill(os.getppid(), number)
            time.sleep(60 if number == signal.SIGTERM else 0)
            sys.exit(1)
        scores = [{score}] * len(item["responses"])
    else:
        scores = [len(r["text"]) + 0.01 * r["k"] for r in item["responses"]]
    print(json.dumps({{"id": item["id"], "scores": scores}}), flush=True)
"""


def best_is(epoch):
    return f"-abs(epoch - {epoch})"


@pytest.fixture(scope="module")
def prepare(tiny_model, tmp_path_factory):
    """Writes configuration and judge of a run into a new folder, and gives that folder."""
    def write(score, epochs=EPOCHS, validate=True):
        folder = tmp_path_factory.mktemp("epochs")
        tiny.write_prompts(folder / "train.jsonl", "train", 8)
        tiny.write_prompts(folder / "validation.jsonl", "validation", 4)
        (folder / "judge.py").write_text(JUDGE.format(score=score))
        (folder / "run.yaml").write_text(CONFIG.format(model=tiny_model, folder=folder, epochs=epochs,
                                                       validate=str(validate).lower()))
        return folder
    return write


@pytest.fixture(scope="module")
def after(tpo, prepare):
    """after(epochs, ranks): the folder of a run that trained so many epochs and kept the last one. Ranks add gradients up in
    another order, so that weights are compared between runs on as many."""
    folders = {}

    def run(epochs, ranks=0):
        if (epochs, ranks) not in folders:
            folders[epochs, ranks] = prepare("0", epochs, validate=False)
            tpo.ok("run", folders[epochs, ranks] / "run.yaml", ranks=ranks)
        return folders[epochs, ranks]
    return run


def weights(folder):
    with h5py.File(folder / "run/iter-001/checkpoint.h5") as f:
        found = {}
        f["model"].visititems(lambda name, item: found.update({name: item[()].tobytes()})
                              if isinstance(item, h5py.Dataset) else None)
        assert len(found) > 10
        return found


def responses(folder):
    with h5py.File(folder / "run/iter-001/validation.h5") as f:
        return list(f["text"][:])


def events(folder, name):
    lines = [json.loads(line) for line in (folder / "run/metrics.jsonl").read_text().splitlines()]
    return [e for e in lines if e["event"] == name]


def kept(folder):
    return [e["epoch"] for e in events(folder, "selected")]


def test_every_epoch_leaves_other_weights(after):
    assert len({tuple(sorted(weights(after(epochs)).items())) for epochs in range(1, EPOCHS + 1)}) == EPOCHS


def test_without_validation_the_last_epoch_is_kept(after):
    assert kept(after(EPOCHS)) == [EPOCHS] and not events(after(EPOCHS), "epoch")
    assert [e["epoch"] for e in events(after(EPOCHS), "step")] == [0.5, 1, 1.5, 2, 2.5, 3]


@pytest.mark.parametrize("best, ranks", [(1, 2), (2, 0), (3, 0)])
def test_the_best_epoch_is_kept(tpo, prepare, after, best, ranks):
    folder = prepare(best_is(best))
    tpo.ok("run", folder / "run.yaml", ranks=ranks)
    assert [(e["epoch"], e["score"]) for e in events(folder, "epoch")] == [(i, -abs(i - best)) for i in (1, 2, 3)]
    assert kept(folder) == [best]
    assert weights(folder) == weights(after(best, ranks))
    assert responses(folder) == responses(after(best, ranks)), "the model that was kept is the one that is validated"


def test_of_equal_scores_the_first_is_kept(tpo, prepare, after):
    folder = prepare("7")
    tpo.ok("run", folder / "run.yaml")
    assert kept(folder) == [1] and weights(folder) == weights(after(1))


@pytest.mark.parametrize("best, ranks", [(1, 2), (2, 0)])
def test_killed_after_two_epochs_and_resumed_the_best_one_is_still_known(tpo, prepare, after, best, ranks):
    folder = prepare(best_is(best))
    (folder / "kill").write_text(str(int(signal.SIGKILL)))
    code = tpo("run", folder / "run.yaml", ranks=ranks).returncode
    assert code in (-signal.SIGKILL, 128 + signal.SIGKILL) and not (folder / "kill").exists()
    assert [e["epoch"] for e in events(folder, "epoch")] == [1, 2] and not (folder / "run/iter-001/checkpoint.h5").exists()
    tpo.ok("run", folder / "run.yaml", "--resume", ranks=ranks)
    assert [e["epoch"] for e in events(folder, "epoch")] == [1, 2, 3] and kept(folder) == [best]
    assert weights(folder) == weights(after(best, ranks)) and responses(folder) == responses(after(best, ranks))


def test_stopped_while_an_epoch_is_validated_its_training_is_not_done_again(tpo, prepare, after):
    ranks, folder = 2, prepare(best_is(3))
    (folder / "kill").write_text(str(int(signal.SIGTERM)))
    result = tpo("run", folder / "run.yaml", ranks=ranks)
    text = result.stderr.decode()
    journal = folder / "run/iter-001/checkpoint.h5.journal"
    assert result.returncode != 0 and f"6 of 6 steps are kept in {journal}" in text
    assert sorted(p.name for p in journal.iterdir()) == ["best-002.h5", "state-000003.6"]
    steps = [json.dumps(e) for e in events(folder, "step")]
    tpo.ok("run", folder / "run.yaml", "--resume", ranks=ranks)
    assert [json.dumps(e) for e in events(folder, "step")] == steps, "with their times"
    assert [e["epoch"] for e in events(folder, "epoch")] == [1, 2, 3] and kept(folder) == [3]
    assert weights(folder) == weights(after(3, ranks)) and not journal.exists()


def test_a_state_of_another_configuration_goes_with_allow_changes(tpo, prepare):
    folder = prepare(best_is(3))
    (folder / "kill").write_text(str(int(signal.SIGKILL)))
    tpo("run", folder / "run.yaml")
    result = tpo("run", folder / "run.yaml", "--resume", "--allow-changes", "--set", "train.beta=0.3")
    assert result.returncode == 0
    assert "with train.beta = 0.1, now it is 0.3" in result.stderr.decode() and "begins anew" in result.stderr.decode()
    assert len(events(folder, "step")) == 6
