/* A folder of weights: one file, or an index and its shards (parts: the index, then up to three shards). What
 * can be read is written again as one file, which must hold the same. */
#include "fuzz/fuzz.h"
#include "store/safetensors.h"
#include "tpo/store.h"

static int write_all(const struct tpo_safetensors *st, const char *path, struct tpo_error *err)
{
  struct tpo_safetensors_writer *w;
  int status = tpo_safetensors_writer_open(&w, path, err);
  if (status < 0) return status;
  for (int i = 0; status == 0 && i < st->n_tensors; i++)
    if (st->tensors[i].supported)
      status = tpo_safetensors_writer_declare(w, st->tensors[i].name, st->tensors[i].dtype,
                                              st->tensors[i].n_dims, st->tensors[i].dims, err);
  for (int i = 0; status == 0 && i < st->n_tensors; i++)
    if (st->tensors[i].supported)
      status = tpo_safetensors_writer_data(w, st->tensors[i].data, st->tensors[i].bytes, err);
  if (status == 0) status = tpo_safetensors_writer_commit(w, err);
  tpo_safetensors_writer_close(w);
  return status;
}

static void same(const struct tpo_safetensor *a, const struct tpo_safetensor *b)
{
  CLAIM(b && b->supported && a->dtype == b->dtype && a->n_dims == b->n_dims, "%s", a->name);
  CLAIM(memcmp(a->dims, b->dims, (size_t)a->n_dims * sizeof *a->dims) == 0, "%s", a->name);
  CLAIM(a->bytes == b->bytes && (!a->bytes || memcmp(a->data, b->data, a->bytes) == 0), "%s", a->name);
}

static void read_and_write(const char *path)
{
  struct tpo_safetensors st, again;
  struct tpo_error err = {0};
  if (fuzz_refused(tpo_safetensors_open(&st, path, &err), &err)) return;
  for (int i = 0; i < st.n_tensors; i++) {
    CLAIM(tpo_safetensors_find(&st, st.tensors[i].name) == &st.tensors[i], "%s", st.tensors[i].name);
    CLAIM(i == 0 || strcmp(st.tensors[i - 1].name, st.tensors[i].name) < 0, "%s", st.tensors[i].name);
  }
  if (!fuzz_refused(write_all(&st, fuzz_path("again.safetensors"), &err), &err)) {
    CLAIM(tpo_safetensors_open(&again, fuzz_path("again.safetensors"), &err) == 0, "%s", err.message);
    for (int i = 0; i < st.n_tensors; i++)
      if (st.tensors[i].supported) same(&st.tensors[i], tpo_safetensors_find(&again, st.tensors[i].name));
    tpo_safetensors_close(&again);
  }
  tpo_safetensors_close(&st);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  struct part parts[4];
  struct tpo_error err = {0};
  bool sharded = fuzz_parts(data, size, parts, 4) > 1;
  const struct part none = {0};
  fuzz_put_or_remove("model.safetensors", sharded ? none : parts[0]);
  fuzz_put_or_remove("model.safetensors.index.json", sharded ? parts[0] : none);
  fuzz_put_or_remove("a.safetensors", sharded ? parts[1] : none);
  fuzz_put_or_remove("b.safetensors", sharded ? parts[2] : none);
  fuzz_put_or_remove("c.safetensors", sharded ? parts[3] : none);
  read_and_write(fuzz_folder());
  if (sharded) return 0;
  FILE *out = fopen("/dev/null", "w");
  CLAIM(out, "no /dev/null");
  fuzz_refused(tpo_inspect(fuzz_path("model.safetensors"), 20, out, &err), &err);
  fclose(out);
  return 0;
}
