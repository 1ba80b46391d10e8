/* A GPU gets tensors as they lie in the file; its weights are those of the host's way, bit for bit. */
#include "model/fixture.h"

#include "backend/ops.h"
#include "store/gguf.h"

static const char *const models[] = {FIXTURES "default_q8_0.gguf", FIXTURES "llama3_bf16.gguf",
                                     FIXTURES "linear_sharded_f16", FIXTURES "llama3_untied_bf16",
                                     FIXTURES "default_tied_f32"};
#define N_MODELS ((int)(sizeof models / sizeof *models))

static struct tpo_backend *open_gpu(void)
{
  struct tpo_error err = {0};
  struct tpo_backend *be;
  assert_ok(tpo_backend_open(&be, TPO_BACKEND_CUDA, 0, &err));
  return be;
}

/* The master weights in host memory, to be freed; *hash gets the model's. */
static float *load(struct tpo_backend *be, const char *path, enum tpo_compute_dtype dtype, size_t *n,
                   char *hash)
{
  struct tpo_model *model = open_model(be, path, dtype);
  *n = tpo_model_param_count(model);
  float *host = malloc(*n * sizeof *host);
  assert_non_null(host);
  tpo_ops(be)->download(be, host, tpo_model_master(model), *n * sizeof *host);
  snprintf(hash, 33, "%s", tpo_model_hash(model));
  tpo_model_close(model);
  return host;
}

static void weights_are_the_same_as_on_the_host(void **state)
{
  (void)state;
  struct tpo_backend *gpu = open_gpu(), *host = open_backend(REFERENCE);
  for (int m = 0; m < N_MODELS; m++)
    for (int b = 0; b < 2; b++) {
      char gpu_hash[33], host_hash[33];
      size_t n, host_n;
      enum tpo_compute_dtype dtype = b ? TPO_DTYPE_BF16 : TPO_DTYPE_FP32;
      float *got = load(gpu, models[m], dtype, &n, gpu_hash);
      float *expected = load(host, models[m], dtype, &host_n, host_hash);
      assert_int_equal(n, host_n);
      assert_memory_equal(got, expected, n * sizeof *got);
      assert_string_equal(gpu_hash, host_hash);
      free(got);
      free(expected);
    }
  tpo_backend_close(gpu);
  tpo_backend_close(host);
}

/* Copies default_q8_0.gguf with the scale of one block of attn_k replaced by infinity. */
static void write_spoiled(const char *path)
{
  struct tpo_error err = {0};
  struct tpo_gguf gguf;
  struct tpo_buf buf = {0};
  assert_ok(tpo_gguf_open(&gguf, models[0], &err));
  const struct tpo_gguf_tensor *t = tpo_gguf_find_tensor(&gguf, "blk.1.attn_k.weight");
  assert_non_null(t);
  size_t at = (size_t)(t->data - gguf.map.data) + 3 * 34; /* the fourth block of Q8_0 */
  tpo_gguf_close(&gguf);
  assert_ok(tpo_read_file(models[0], 1 << 24, &buf, &err));
  buf.data[at] = 0;
  buf.data[at + 1] = 0x7c;
  assert_ok(tpo_write_file(path, buf.data, buf.len, &err));
  tpo_buf_free(&buf);
}

static void an_infinite_scale_is_refused_in_the_same_words(void **state)
{
  char path[4200];
  snprintf(path, sizeof path, "%s/spoiled.gguf", (const char *)*state);
  write_spoiled(path);
  struct tpo_backend *both[] = {open_gpu(), open_backend(REFERENCE)};
  struct tpo_error err[2] = {{0}, {0}};
  for (int b = 0; b < 2; b++) {
    struct tpo_model_options options = {.backend = both[b], .dtype = TPO_DTYPE_BF16};
    struct tpo_model *model = NULL;
    assert_true(tpo_model_open(&model, path, &options, &err[b]) < 0);
    assert_null(model);
    tpo_backend_close(both[b]);
  }
  assert_string_equal(err[0].message, err[1].message);
  assert_contains(err[0].message, "model.layers.1.self_attn.k_proj.weight holds");
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(weights_are_the_same_as_on_the_host),
      cmocka_unit_test_setup_teardown(an_infinite_scale_is_refused_in_the_same_words, make_folder,
                                      remove_folder),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
