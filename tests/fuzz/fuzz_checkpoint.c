/* A checkpoint (HDF5) as a file, as a model and as a tokenizer. */
#include "base/dtype.h"
#include "fuzz/hdf5.h"
#include "fuzz/fuzz.h"
#include "tpo/model.h"
#include "tpo/store.h"
#include "tpo/text.h"

enum { MOST_BYTES = 1 << 20 };

static int read_tensor(void *arg, const char *name, struct tpo_error *err)
{
  int dtype, n_dims;
  int64_t dims[8];
  size_t bytes;
  int found = tpo_checkpoint_shape(arg, "model", name, &dtype, &n_dims, dims, err);
  if (found < 0) return found;
  CLAIM(found == 1, "a listed tensor is absent: %s", name);
  CLAIM(n_dims >= 0 && n_dims <= 8, "%d dimensions", n_dims);
  bytes = tpo_dtype_size((enum tpo_dtype)dtype);
  for (int d = 0; d < n_dims; d++) {
    CLAIM(dims[d] >= 0, "%lld rows", (long long)dims[d]);
    if (__builtin_mul_overflow(bytes, (size_t)dims[d], &bytes) || bytes > MOST_BYTES) return 0;
  }
  void *data = malloc(bytes + 1);
  CLAIM(data);
  int status = tpo_checkpoint_get(arg, "model", name, data, bytes, err);
  free(data);
  return status;
}

static void read_blob(struct tpo_checkpoint *file, const char *name)
{
  struct tpo_error err = {0};
  char *bytes = NULL;
  size_t len = 0;
  int found = tpo_checkpoint_get_blob(file, name, &bytes, &len, &err);
  if (!fuzz_refused(found, &err) && found == 1) CLAIM(bytes && bytes[len] == '\0', "%s", name);
  free(bytes);
}

static void look_into(const char *path)
{
  struct tpo_error err = {0};
  struct tpo_checkpoint *file;
  char format[16], hash[33];
  FILE *out = fopen("/dev/null", "w");
  CLAIM(out);
  fuzz_refused(tpo_inspect(path, 20, out, &err), &err);
  fclose(out);
  fuzz_refused(tpo_store_format(path, format, &err), &err);
  fuzz_refused(tpo_store_content_hash(path, hash, &err), &err);
  fuzz_refused(tpo_store_verify(path, &err), &err);
  if (fuzz_refused(tpo_checkpoint_open(&file, path, &err), &err)) return;
  fuzz_refused(tpo_checkpoint_each(file, "model", read_tensor, file, &err), &err);
  read_blob(file, "state");
  read_blob(file, "architecture");
  read_blob(file, "tokenizer/tokenizer.json");
  tpo_checkpoint_close(file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  struct tpo_arch arch;
  struct tpo_tokenizer *tok;
  struct tpo_error err = {0};
  char path[512];
  snprintf(path, sizeof path, "%s", fuzz_put("checkpoint.h5", (struct part){data, size}));
  look_into(path);
  fuzz_refused(tpo_model_check(&arch, path, &err), &err);
  if (!fuzz_refused(tpo_tokenizer_open(&tok, path, &err), &err)) tpo_tokenizer_close(tok);
  return 0;
}
