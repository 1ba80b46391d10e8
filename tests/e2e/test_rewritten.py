"""HDF5 files that h5py rewrote: compressed, in chunks, with texts of other types, in another order."""
import random
import shutil

import pytest

from test_hostile import refused, run as run_bounded

h5py = pytest.importorskip("h5py")
np = pytest.importorskip("numpy")

NAMES = ["samples", "scored", "pairs", "checkpoint"]


def fixed(values):
    return np.array(values, dtype=f"S{max([1, *map(len, values)])}")


def rewrite(source, target, texts=None, latest=False, attributes=None, **options):
    """Every data set again, the last one first, in chunks with these options; scalars can't be chunked."""
    with h5py.File(source) as old, h5py.File(target, "w", libver=("v110", "v110") if latest else "earliest") as new:
        names = []
        old.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
        for name in reversed(names):
            values, dtype = old[name][()], old[name].dtype
            is_text = h5py.check_string_dtype(dtype) is not None
            if is_text and texts is fixed:
                values = fixed(values) if old[name].shape else np.bytes_(values)
                dtype = values.dtype
            elif is_text and texts:
                dtype = texts
            more = dict(options)
            if not old[name].shape or 0 in old[name].shape:
                more = {}
            elif more.get("chunks") == "small":
                more["chunks"] = tuple(max(1, (n + 1) // 3) for n in old[name].shape)
            if h5py.check_string_dtype(dtype) and h5py.check_string_dtype(dtype).length is None:
                more.pop("fletcher32", None)  # which HDF5 does not do for them
            new.create_dataset(name, data=values, dtype=dtype, **more)
            for key, value in old[name].attrs.items():
                new[name].attrs[key] = value
        for key, value in old.attrs.items():
            new.attrs[key] = attributes(value) if attributes else value


WAYS = {
    "gzip, shuffle, fletcher32, small chunks": dict(compression="gzip", shuffle=True, fletcher32=True, chunks="small"),
    "lzf": dict(compression="lzf", shuffle=True),
    "chunks, ascii": dict(chunks="small", latest=True, texts=h5py.string_dtype("ascii")),
    "latest": dict(latest=True, compression="gzip"),
    "fixed texts": dict(texts=fixed, attributes=lambda text: np.bytes_(text.encode() if isinstance(text, str) else text)),
    "fixed texts, gzip": dict(texts=fixed, compression="gzip", shuffle=True, fletcher32=True),
}


@pytest.fixture(scope="module")
def shown(tpo, files):
    return {name: tpo.ok("inspect", files / f"{name}.h5", "--limit", 1000).replace(str(files), "") for name in NAMES}


@pytest.mark.parametrize("way", WAYS)
def test_they_are_read_as_they_were(tpo, files, shown, tmp_path, way):
    for name in NAMES:
        path = tmp_path / f"{name}.h5"
        rewrite(files / f"{name}.h5", path, **WAYS[way])
        assert tpo.ok("inspect", path, "--verify", "--limit", 1000).replace(str(tmp_path), "") == shown[name]


def content(path):
    with h5py.File(path) as file:
        return file.attrs["content_hash"]


def test_every_command_goes_on_with_them(tpo, files, tiny_model, tmp_path):
    for name, way in zip(NAMES, ["lzf", "fixed texts, gzip", "lzf", "chunks, ascii"]):
        rewrite(files / f"{name}.h5", tmp_path / f"{name}.h5", **WAYS[way])
    out = tmp_path / "out.h5"
    tpo.ok("judge", "--samples", tmp_path / "samples.h5", "--judge", "rule", "--out", out)
    assert content(out) == content(files / "scored.h5")
    tpo.ok("pairs", "--samples", tmp_path / "scored.h5", "--out", out)
    assert content(out) == content(files / "pairs.h5")
    tpo.ok("dpo", "--model", tiny_model, "--pairs", tmp_path / "pairs.h5", "--out", out, "--batch", 2, ranks=2)
    stdin = '{"ids":[5,80,12,33,200,7]}\n'
    expected = tpo.ok("logprobs", "--model", files / "checkpoint.h5", stdin=stdin)
    assert tpo.ok("logprobs", "--model", tmp_path / "checkpoint.h5", stdin=stdin) == expected


TEXT = h5py.string_dtype("utf-8")


def external(file, name, folder):
    (folder / "data").write_bytes(bytes(8 * 32))
    file.create_dataset(name, (32,), "<f8", external=[(str(folder / "data"), 0, 8 * 32)])


def virtual(file, name, _):
    layout = h5py.VirtualLayout((32,), "<f8")
    layout[:] = h5py.VirtualSource(file["other"])
    file.create_virtual_dataset(name, layout)


def compact(file, name, _):
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_layout(h5py.h5d.COMPACT)
    h5py.h5d.create(file.id, name.encode(), h5py.h5t.py_create(TEXT, logical=True), h5py.h5s.create_simple((32,)), properties)


REFUSED = {
    "scaleoffset": ("k", lambda f, name, _: f.create_dataset(name, data=np.arange(32, dtype="<i4") % 4, scaleoffset=0),
                    "is stored with the filter scaleoffset (number 6)"),
    "twice": ("k", lambda f, name, _: f.create_dataset(name, data=np.arange(32, dtype="<i4") % 4, chunks=(8,), dcpl=twice()),
              "is compressed twice"),
    "external": ("logprob", external, "external storage"),
    "virtual": ("logprob", virtual, "virtual data set"),
    "soft link": ("logprob", lambda f, name, _: f.__setitem__(name, h5py.SoftLink("/other")), "soft or external link"),
    "external link": ("logprob", lambda f, name, _: f.__setitem__(name, h5py.ExternalLink("samples.h5", "/other")),
                      "soft or external link"),
    "compact texts": ("text", compact, "compact storage"),
    "another type": ("k", lambda f, name, _: f.create_dataset(name, data=np.arange(32, dtype="<i8") % 4), "int64"),
    "a hole": ("logprob", lambda f, name, _: f.create_dataset(name, (32,), "<f8", chunks=(16,)).__setitem__(slice(16), 1.0),
               "'logprob'"),
    "rows without end": ("prompt_id", lambda f, name, _: f.create_dataset(name, (2 ** 60,), TEXT, chunks=(1024,),
                                                                          compression="gzip"), "claims 1152921504606846976 elements"),
    "a first chunk alone": ("prompt_id", lambda f, name, _: f.create_dataset(
        name, (2 ** 60,), TEXT, chunks=(1024,), compression="gzip").__setitem__(slice(1024), "x"), "claims 1152921504606846976 elements"),
    "a chunk for all": ("k", lambda f, name, _: f.create_dataset(name, (32,), "<i4", chunks=(2 ** 28,), maxshape=(None,)), "claims 32 elements"),
    "millions of no texts": ("prompt_id", lambda f, name, _: f.create_dataset(
        name, data=np.full(1 << 20, b"", dtype="S1"), compression="gzip"), "claims 1048576 rows"),
    "a NUL within": ("text", lambda f, name, _: f.create_dataset(name, data=np.array([b"a\0b"] * 32, dtype="S3")), "row 0"),
}


def twice():
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_deflate(1)
    properties.set_deflate(1)
    return properties


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_not_read_is_refused_by_name(files, tmp_path, kind):
    name, make, word = REFUSED[kind]
    path = shutil.copy(files / "samples.h5", tmp_path / "bad.h5")
    with h5py.File(path, "r+", libver="earliest") as file:
        file.move(name, "other")
        make(file, name, tmp_path)
    refused("inspect", path, words=["bad.h5", f"'{name}'", word], code=(1,))


def test_damaged_chunks_are_refused(files, tmp_path):
    """Any byte of any chunk: what it holds is checked, or the hash tells; nothing crashes."""
    good, bad, rng = tmp_path / "good.h5", tmp_path / "bad.h5", random.Random(4)
    rewrite(files / "scored.h5", good, compression="lzf", shuffle=True, chunks="small")
    with h5py.File(good) as file:
        chunks = [file[name].id.get_chunk_info(i) for name in file for i in range(file[name].id.get_num_chunks())]
    data = good.read_bytes()
    for chunk in rng.sample(chunks, 20):
        damaged = bytearray(data)
        for _ in range(3):
            damaged[chunk.byte_offset + rng.randrange(chunk.size)] ^= 1 << rng.randrange(8)
        bad.write_bytes(damaged)
        result = run_bounded("inspect", "--verify", bad)
        assert result.returncode in (0, 1) and (result.returncode == 0 or b"bad.h5: " in result.stderr), result.stderr
        assert result.returncode == 1 or bytes(damaged) == data, "a changed byte passed"


def test_texts_of_attributes_that_are_kept_elsewhere_are_refused(files, tmp_path):
    rewrite(files / "samples.h5", tmp_path / "bad.h5", latest=True)
    with h5py.File(tmp_path / "bad.h5", "r+", libver=("v110", "v110")) as file:
        for i in range(9):
            file.attrs[f"mine {i}"] = i
    refused("inspect", tmp_path / "bad.h5", words=["bad.h5", "attribute 'tpo_format'", "dense storage"], code=(1,))
