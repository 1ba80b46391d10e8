/* A pairs file (HDF5). */
#include "fuzz/hdf5.h"
#include "fuzz/pairs.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  struct tpo_pairs pairs = {0};
  struct tpo_error err = {0};
  char path[512];
  snprintf(path, sizeof path, "%s", fuzz_put("pairs.h5", (struct part){data, size}));
  if (!fuzz_refused(tpo_pairs_read(&pairs, path, &err), &err)) fuzz_pairs_round_trip(&pairs);
  tpo_pairs_free(&pairs);
  FILE *out = fopen("/dev/null", "w");
  CLAIM(out);
  fuzz_refused(tpo_inspect(path, 20, out, &err), &err);
  fclose(out);
  fuzz_refused(tpo_store_verify(path, &err), &err);
  return 0;
}
