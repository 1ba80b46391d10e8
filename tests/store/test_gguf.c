/* GGUF files: every type against the reference package, and files that lie. */
#include "store/files.h"
#include <math.h>
#include <zlib.h>
#include "store/gguf.h"

/* In the order of make_fixtures.py: two rows of 256 each. */
static const char *const names[] = {"F32",  "F16",  "BF16", "Q8_0", "Q4_0", "Q4_1",
                                    "Q5_0", "Q5_1", "Q4_K", "Q5_K", "Q6_K"};
enum { N_NAMES = sizeof names / sizeof names[0], N_ELEMENTS = 512 };

static void open_fixture(struct tpo_gguf *gguf)
{
  struct tpo_error err = {0};
  if (tpo_gguf_open(gguf, FIXTURES "types.gguf", &err) < 0) fail_msg("%s", err.message);
}

static void each_type_dequantizes_to_the_bits_of_the_gguf_package(void **state)
{
  (void)state;
  struct tpo_gguf gguf;
  struct tpo_buf expected = {0};
  struct tpo_error err = {0};
  float values[N_ELEMENTS];
  open_fixture(&gguf);
  read_whole(FIXTURES "types.f32", &expected);
  assert_int_equal(expected.len, N_NAMES * sizeof values);
  for (int i = 0; i < N_NAMES; i++) {
    const struct tpo_gguf_tensor *t = tpo_gguf_find_tensor(&gguf, names[i]);
    assert_non_null(t);
    assert_string_equal(tpo_gguf_type_name(t->type), names[i]);
    assert_int_equal(t->n_dims, 2);
    assert_int_equal(t->dims[0], 256);
    assert_int_equal(t->dims[1], 2);
    if (tpo_gguf_dequantize(t, 0, N_ELEMENTS, values, &err) < 0) fail_msg("%s", err.message);
    if (memcmp(values, expected.data + (size_t)i * sizeof values, sizeof values) != 0)
      fail_msg("%s differs", names[i]);
  }
  tpo_buf_free(&expected);
  tpo_gguf_close(&gguf);
}

static void a_part_of_a_tensor_equals_that_part_of_the_whole(void **state)
{
  (void)state;
  struct tpo_gguf gguf;
  float whole[N_ELEMENTS], part[256];
  open_fixture(&gguf);
  for (int i = 0; i < N_NAMES; i++) {
    const struct tpo_gguf_tensor *t = tpo_gguf_find_tensor(&gguf, names[i]);
    assert_int_equal(tpo_gguf_dequantize(t, 0, N_ELEMENTS, whole, NULL), 0);
    assert_int_equal(tpo_gguf_dequantize(t, 256, 256, part, NULL), 0);
    assert_memory_equal(part, whole + 256, sizeof part);
  }
  tpo_gguf_close(&gguf);
}

static void ranges_off_the_blocks_or_past_the_end_are_refused(void **state)
{
  (void)state;
  struct tpo_gguf gguf;
  struct tpo_error err = {0};
  float values[2 * N_ELEMENTS];
  open_fixture(&gguf);
  const struct tpo_gguf_tensor *t = tpo_gguf_find_tensor(&gguf, "Q4_K");
  assert_refused(tpo_gguf_dequantize(t, 128, 256, values, &err), err, "Q4_K");
  assert_refused(tpo_gguf_dequantize(t, 0, 100, values, &err), err, "Q4_K");
  assert_refused(tpo_gguf_dequantize(t, 256, 512, values, &err), err, "Q4_K");
  assert_refused(tpo_gguf_dequantize(t, 1024, 0, values, &err), err, "Q4_K");
  assert_refused(tpo_gguf_dequantize(t, 256, UINT64_MAX - 255, values, &err), err, "Q4_K");
  tpo_gguf_close(&gguf);
}

static void a_type_without_a_dequantizer_is_refused_by_name(void **state)
{
  (void)state;
  struct tpo_gguf gguf;
  struct tpo_error err = {0};
  float values[N_ELEMENTS];
  open_fixture(&gguf);
  int status = tpo_gguf_dequantize(tpo_gguf_find_tensor(&gguf, "Q2_K"), 0, N_ELEMENTS, values, &err);
  assert_int_equal(status, TPO_E_UNSUPPORTED);
  assert_refused(status, err, "Q2_K");
  tpo_gguf_close(&gguf);
}

static int64_t get_int(const struct tpo_gguf *gguf, const char *key)
{
  int64_t value = 0;
  assert_int_equal(tpo_gguf_get_int(gguf, key, &value, NULL), 1);
  return value;
}

static void metadata_of_every_type_is_read(void **state)
{
  (void)state;
  struct tpo_gguf gguf;
  struct tpo_gguf_string text;
  double number = 0;
  bool flag = false;
  open_fixture(&gguf);
  assert_int_equal(get_int(&gguf, "test.u8"), 200);
  assert_int_equal(get_int(&gguf, "test.i8"), -100);
  assert_int_equal(get_int(&gguf, "test.u16"), 60000);
  assert_int_equal(get_int(&gguf, "test.i16"), -30000);
  assert_int_equal(get_int(&gguf, "test.u32"), 4000000000);
  assert_int_equal(get_int(&gguf, "test.i32"), -2000000000);
  assert_true(get_int(&gguf, "test.i64") == -((int64_t)1 << 62));
  assert_int_equal(tpo_gguf_get_double(&gguf, "test.u64", &number, NULL), 1);
  assert_true(number == 0x1p64);
  assert_int_equal(tpo_gguf_get_double(&gguf, "test.f32", &number, NULL), 1);
  assert_true(number == (double)0.1f);
  assert_int_equal(tpo_gguf_get_double(&gguf, "test.f64", &number, NULL), 1);
  assert_true(number == 0.1);
  assert_int_equal(tpo_gguf_get_double(&gguf, "test.i8", &number, NULL), 1);
  assert_true(number == -100);
  assert_int_equal(tpo_gguf_get_bool(&gguf, "test.true", &flag, NULL), 1);
  assert_true(flag);
  assert_int_equal(tpo_gguf_get_string(&gguf, "test.string", &text, NULL), 1);
  assert_int_equal(text.len, 7);
  assert_memory_equal(text.data, "na\xc3\xafve\n", 7);
  tpo_gguf_close(&gguf);
}

static void an_absent_key_leaves_the_default(void **state)
{
  (void)state;
  struct tpo_gguf gguf;
  int64_t value = 7;
  double number = 7;
  open_fixture(&gguf);
  assert_int_equal(tpo_gguf_get_int(&gguf, "test.absent", &value, NULL), 0);
  assert_int_equal(tpo_gguf_get_double(&gguf, "test.u", &number, NULL), 0);
  assert_int_equal(value, 7);
  assert_true(number == 7);
  assert_null(tpo_gguf_find_tensor(&gguf, "F3"));
  tpo_gguf_close(&gguf);
}

static void a_value_of_another_type_is_refused_by_key(void **state)
{
  (void)state;
  struct tpo_gguf gguf;
  struct tpo_gguf_string text;
  struct tpo_error err = {0};
  int64_t value;
  double number;
  bool flag;
  open_fixture(&gguf);
  assert_refused(tpo_gguf_get_int(&gguf, "test.f32", &value, &err), err, "test.f32");
  assert_refused(tpo_gguf_get_int(&gguf, "test.u64", &value, &err), err, "2^63");
  assert_refused(tpo_gguf_get_int(&gguf, "test.true", &value, &err), err, "test.true");
  assert_refused(tpo_gguf_get_double(&gguf, "test.string", &number, &err), err, "test.string");
  assert_refused(tpo_gguf_get_bool(&gguf, "test.u8", &flag, &err), err, "test.u8");
  assert_refused(tpo_gguf_get_string(&gguf, "test.strings", &text, &err), err, "an array");
  tpo_gguf_close(&gguf);
}

static void a_string_array_gives_its_items_and_then_ends(void **state)
{
  (void)state;
  static const char *const expected[] = {"a", "bc", "d\303\251f"};
  struct tpo_gguf gguf;
  struct tpo_gguf_string text;
  uint64_t cursor = 0;
  open_fixture(&gguf);
  const struct tpo_gguf_value *array = tpo_gguf_find(&gguf, "test.strings");
  assert_non_null(array);
  assert_int_equal(array->count, 3);
  for (int i = 0; i < 3; i++) {
    assert_int_equal(tpo_gguf_next_string(array, &cursor, &text), 1);
    assert_int_equal(text.len, strlen(expected[i]));
    assert_memory_equal(text.data, expected[i], text.len);
  }
  assert_int_equal(tpo_gguf_next_string(array, &cursor, &text), 0);
  cursor = 0;
  assert_true(tpo_gguf_next_string(tpo_gguf_find(&gguf, "test.ints"), &cursor, &text) < 0);
  tpo_gguf_close(&gguf);
}

static volatile uint8_t sink;

/* Reads all that an opened file offers, so that a bad pointer shows under the sanitizers. */
static void read_all(const struct tpo_gguf *gguf)
{
  static float values[4 * N_ELEMENTS];
  for (uint64_t i = 0; i < gguf->n_values; i++) {
    const struct tpo_gguf_value *value = &gguf->values[i];
    struct tpo_gguf_string text;
    uint64_t cursor = 0, n = 0;
    for (uint64_t b = 0; b < value->bytes; b++) sink = value->data[b];
    while (tpo_gguf_next_string(value, &cursor, &text) == 1) n++;
    if (value->type == TPO_GGUF_ARRAY && value->item_type == TPO_GGUF_STRING)
      assert_int_equal(n, value->count);
  }
  for (uint64_t i = 0; i < gguf->n_tensors; i++) {
    const struct tpo_gguf_tensor *t = &gguf->tensors[i];
    uint64_t n = t->dims[0] * t->dims[1] * t->dims[2] * t->dims[3];
    for (uint64_t b = 0; b < t->bytes; b++) sink = t->data[b];
    if (n <= sizeof values / sizeof values[0]) tpo_gguf_dequantize(t, 0, n, values, NULL);
  }
}

static void a_file_cut_anywhere_is_refused_with_its_name(void **state)
{
  (void)state;
  struct tpo_buf bytes = {0};
  struct memory_file file = memory_file_open();
  struct tpo_gguf gguf;
  read_whole(FIXTURES "types.gguf", &bytes);
  open_fixture(&gguf);
  const struct tpo_gguf_tensor *last = &gguf.tensors[gguf.n_tensors - 1];
  size_t end = (size_t)(last->data + last->bytes - gguf.map.data); /* padding follows */
  tpo_gguf_close(&gguf);
  for (size_t len = 0; len < end; len++) {
    struct tpo_error err = {0};
    memory_file_set(&file, bytes.data, len);
    int status = tpo_gguf_open(&gguf, file.path, &err);
    assert_refused(status, err, file.path);
  }
  memory_file_close(&file);
  tpo_buf_free(&bytes);
}

static void damaged_bytes_are_refused_or_read_within_bounds(void **state)
{
  (void)state;
  struct tpo_buf bytes = {0};
  struct memory_file file = memory_file_open();
  struct tpo_rng rng;
  int opened = 0, refused = 0;
  read_whole(FIXTURES "types.gguf", &bytes);
  uint8_t *copy = malloc(bytes.len);
  assert_non_null(copy);
  tpo_rng_init(&rng, 1, TPO_STREAM_INIT, 0, 0);
  for (int i = 0; i < 20000; i++) {
    struct tpo_gguf gguf;
    struct tpo_error err = {0};
    memcpy(copy, bytes.data, bytes.len);
    damage(&rng, copy, 1400); /* the tables; what follows is weights, where any byte is valid */
    memory_file_set(&file, copy, bytes.len);
    int status = tpo_gguf_open(&gguf, file.path, &err);
    if (status == 0) {
      opened++;
      read_all(&gguf);
      tpo_gguf_close(&gguf);
    } else {
      refused++;
      assert_refused(status, err, file.path);
    }
  }
  assert_true(opened > 100 && refused > 100);
  free(copy);
  memory_file_close(&file);
  tpo_buf_free(&bytes);
}

/* A file of our own: metadata given as raw bytes, tensors of 8 fp32 each at the given offsets. */
static void put_u32(struct tpo_buf *buf, uint32_t value)
{
  tpo_buf_append(buf, &value, 4);
}
static void put_u64(struct tpo_buf *buf, uint64_t value)
{
  tpo_buf_append(buf, &value, 8);
}
static void put_text(struct tpo_buf *buf, const char *text)
{
  put_u64(buf, strlen(text));
  tpo_buf_puts(buf, text);
}
static void put_header(struct tpo_buf *buf, uint32_t version, uint64_t tensors, uint64_t values)
{
  tpo_buf_puts(buf, "GGUF");
  put_u32(buf, version);
  put_u64(buf, tensors);
  put_u64(buf, values);
}
static void put_tensor(struct tpo_buf *buf, const char *name, uint64_t elements, uint32_t type,
                       uint64_t offset)
{
  put_text(buf, name);
  put_u32(buf, 1);
  put_u64(buf, elements);
  put_u32(buf, type);
  put_u64(buf, offset);
}
static void put_data(struct tpo_buf *buf, size_t bytes)
{
  while (buf->len % 32 != 0) tpo_buf_putc(buf, 0);
  for (size_t i = 0; i < bytes; i++) tpo_buf_putc(buf, 0);
}

static void refused_for(struct tpo_buf *buf, int code, const char *why)
{
  struct memory_file file = memory_file_open();
  struct tpo_gguf gguf;
  struct tpo_error err = {0};
  memory_file_set(&file, buf->data, buf->len);
  int status = tpo_gguf_open(&gguf, file.path, &err);
  if (status != code) fail_msg("status %d, expected %d (%s): %s", status, code, why, err.message);
  assert_refused(status, err, file.path);
  assert_refused(status, err, why);
  memory_file_close(&file);
  tpo_buf_free(buf);
}

static void other_formats_and_versions_are_refused(void **state)
{
  (void)state;
  struct tpo_buf buf = {0};
  tpo_buf_puts(&buf, "GGML file of another time, quite long enough");
  refused_for(&buf, TPO_E_INPUT, "not a GGUF file");
  put_header(&buf, 1, 0, 0);
  refused_for(&buf, TPO_E_UNSUPPORTED, "version 1");
  put_header(&buf, 0x03000000, 0, 0);
  refused_for(&buf, TPO_E_UNSUPPORTED, "big-endian");
}

static void a_file_without_tensors_opens(void **state)
{
  (void)state;
  struct memory_file file = memory_file_open();
  struct tpo_gguf gguf;
  struct tpo_buf buf = {0};
  put_header(&buf, 3, 0, 1);
  put_text(&buf, "a");
  put_u32(&buf, TPO_GGUF_U32);
  put_u32(&buf, 5);
  memory_file_set(&file, buf.data, buf.len);
  assert_int_equal(tpo_gguf_open(&gguf, file.path, NULL), 0);
  assert_int_equal(get_int(&gguf, "a"), 5);
  tpo_gguf_close(&gguf);
  memory_file_close(&file);
  tpo_buf_free(&buf);
}

static void put_array(struct tpo_buf *buf, const char *key, enum tpo_gguf_type type, uint64_t n,
                      const void *items, size_t bytes)
{
  put_text(buf, key);
  put_u32(buf, TPO_GGUF_ARRAY);
  put_u32(buf, type);
  put_u64(buf, n);
  tpo_buf_append(buf, items, bytes);
}

static int of_layers(const struct memory_file *file, const char *key, int64_t n, int64_t *out,
                     struct tpo_error *err)
{
  struct tpo_gguf gguf;
  assert_int_equal(tpo_gguf_open(&gguf, file->path, NULL), 0);
  int status = tpo_gguf_get_int_of_layers(&gguf, key, n, out, err);
  tpo_gguf_close(&gguf);
  return status;
}

static void an_integer_for_each_layer_is_read_where_all_are_equal(void **state)
{
  (void)state;
  const uint32_t equal[] = {8, 8, 8}, unequal[] = {8, 8, 4};
  const int16_t narrow[] = {5, 5, 5};
  const float reals[] = {8, 8, 8};
  struct memory_file file = memory_file_open();
  struct tpo_buf buf = {0};
  struct tpo_error err = {0};
  int64_t value = 7;
  put_header(&buf, 3, 0, 6);
  put_array(&buf, "equal", TPO_GGUF_U32, 3, equal, sizeof equal);
  put_array(&buf, "unequal", TPO_GGUF_U32, 3, unequal, sizeof unequal);
  put_array(&buf, "narrow", TPO_GGUF_I16, 3, narrow, sizeof narrow);
  put_array(&buf, "reals", TPO_GGUF_F32, 3, reals, sizeof reals);
  put_array(&buf, "empty", TPO_GGUF_STRING, 0, "", 0);
  put_text(&buf, "one");
  put_u32(&buf, TPO_GGUF_U32);
  put_u32(&buf, 6);
  memory_file_set(&file, buf.data, buf.len);
  assert_int_equal(of_layers(&file, "absent", 3, &value, &err), 0);
  assert_int_equal(value, 7);
  assert_int_equal(of_layers(&file, "equal", 3, &value, &err), 1);
  assert_int_equal(value, 8);
  assert_int_equal(of_layers(&file, "narrow", 3, &value, &err), 1);
  assert_int_equal(value, 5);
  assert_int_equal(of_layers(&file, "one", 3, &value, &err), 1);
  assert_int_equal(value, 6);
  assert_int_equal(of_layers(&file, "unequal", 3, &value, &err), TPO_E_UNSUPPORTED);
  assert_non_null(strstr(err.message, "'unequal' is 8 in layer 0 and 4 in layer 2"));
  assert_refused(of_layers(&file, "equal", 2, &value, &err), err, "array of 3, expected one for each of 2");
  assert_refused(of_layers(&file, "reals", 3, &value, &err), err, "'reals' is a floating-point number");
  assert_refused(of_layers(&file, "empty", 0, &value, &err), err, "'empty' is an array of strings");
  memory_file_close(&file);
  tpo_buf_free(&buf);
}

static void a_part_of_a_split_model_is_told_from_a_whole_one(void **state)
{
  (void)state;
  for (uint32_t parts = 1; parts <= 3; parts += 2) {
    struct memory_file file = memory_file_open();
    struct tpo_gguf gguf;
    struct tpo_buf buf = {0};
    struct tpo_error err = {0};
    put_header(&buf, 3, 0, 2);
    put_text(&buf, "split.no");
    put_u32(&buf, TPO_GGUF_U32);
    put_u32(&buf, parts - 1);
    put_text(&buf, "split.count");
    put_u32(&buf, TPO_GGUF_U32);
    put_u32(&buf, parts);
    memory_file_set(&file, buf.data, buf.len);
    assert_int_equal(tpo_gguf_open(&gguf, file.path, &err), 0);
    int status = tpo_gguf_check_whole(&gguf, &err);
    if (parts == 1)
      assert_int_equal(status, 0);
    else
      assert_refused(status, err, "part 3 of a model split into 3 files");
    tpo_gguf_close(&gguf);
    memory_file_close(&file);
    tpo_buf_free(&buf);
  }
}

static void counts_past_the_file_are_refused_before_memory_is_asked_for(void **state)
{
  (void)state;
  struct tpo_buf buf = {0};
  put_header(&buf, 3, UINT64_MAX, 0);
  put_data(&buf, 64);
  refused_for(&buf, TPO_E_INPUT, "18446744073709551615 tensors");
  put_header(&buf, 3, 0, 1);
  put_text(&buf, "numbers");
  put_u32(&buf, TPO_GGUF_ARRAY);
  put_u32(&buf, TPO_GGUF_F64);
  put_u64(&buf, (UINT64_MAX >> 3) + 2); /* times 8 wraps around */
  put_data(&buf, 64);
  refused_for(&buf, TPO_E_INPUT, "ends");
  put_header(&buf, 3, 0, 1);
  put_text(&buf, "nested");
  put_u32(&buf, TPO_GGUF_ARRAY);
  put_u32(&buf, TPO_GGUF_ARRAY);
  put_u64(&buf, 1);
  put_data(&buf, 64);
  refused_for(&buf, TPO_E_UNSUPPORTED, "'nested'");
}

static void contradictory_tables_are_refused(void **state)
{
  (void)state;
  struct tpo_buf buf = {0};
  put_header(&buf, 3, 2, 0);
  put_tensor(&buf, "one", 8, 0, 0);
  put_tensor(&buf, "one", 8, 0, 32);
  put_data(&buf, 64);
  refused_for(&buf, TPO_E_INPUT, "'one' occurs twice");
  put_header(&buf, 3, 2, 0);
  put_tensor(&buf, "one", 16, 0, 0);
  put_tensor(&buf, "two", 8, 0, 32);
  put_data(&buf, 64);
  refused_for(&buf, TPO_E_INPUT, "overlap");
  put_header(&buf, 3, 1, 0);
  put_tensor(&buf, "one", 8, 0, 4);
  put_data(&buf, 64);
  refused_for(&buf, TPO_E_INPUT, "multiple of 32");
  put_header(&buf, 3, 1, 0);
  put_tensor(&buf, "one", 8, 0, UINT64_MAX - 31);
  put_data(&buf, 64);
  refused_for(&buf, TPO_E_INPUT, "truncated or damaged");
  put_header(&buf, 3, 1, 0);
  put_tensor(&buf, "one", 33, 8, 0);
  put_data(&buf, 64);
  refused_for(&buf, TPO_E_INPUT, "multiple of 32 for type Q8_0");
  put_header(&buf, 3, 1, 0);
  put_tensor(&buf, "one", (uint64_t)INT64_MAX + 1, 0, 0);
  put_data(&buf, 64);
  refused_for(&buf, TPO_E_INPUT, "dimension 0");
  put_header(&buf, 3, 1, 0);
  put_tensor(&buf, "one\033[2J", 8, 77, 0);
  put_data(&buf, 64);
  refused_for(&buf, TPO_E_UNSUPPORTED, "'one\\x1b[2J' has type number 77");
}

static void a_real_model_dequantizes_as_the_gguf_package_does(void **state)
{
  (void)state;
  static const struct {
    const char *name;
    uint32_t crc;
  } expected[] = {{"token_embd.weight", 0x39786908},
                  {"blk.0.attn_norm.weight", 0xcb4130eb},
                  {"blk.0.ffn_down.weight", 0x892ae111}};
  const char *path = getenv("TPO_SMOLLM2");
  struct tpo_gguf gguf;
  struct tpo_error err = {0};
  if (!path) skip();
  if (tpo_gguf_open(&gguf, path, &err) < 0) fail_msg("%s", err.message);
  assert_int_equal(gguf.n_tensors, 272);
  for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
    const struct tpo_gguf_tensor *t = tpo_gguf_find_tensor(&gguf, expected[i].name);
    assert_non_null(t);
    uint64_t n = t->dims[0] * t->dims[1];
    float *values = malloc(n * sizeof *values);
    assert_non_null(values);
    if (tpo_gguf_dequantize(t, 0, n, values, &err) < 0) fail_msg("%s", err.message);
    assert_int_equal(crc32(0, (const Bytef *)values, (uInt)(n * sizeof *values)), expected[i].crc);
    free(values);
  }
  tpo_gguf_close(&gguf);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(each_type_dequantizes_to_the_bits_of_the_gguf_package),
      cmocka_unit_test(a_part_of_a_tensor_equals_that_part_of_the_whole),
      cmocka_unit_test(ranges_off_the_blocks_or_past_the_end_are_refused),
      cmocka_unit_test(a_type_without_a_dequantizer_is_refused_by_name),
      cmocka_unit_test(metadata_of_every_type_is_read),
      cmocka_unit_test(an_absent_key_leaves_the_default),
      cmocka_unit_test(a_value_of_another_type_is_refused_by_key),
      cmocka_unit_test(a_string_array_gives_its_items_and_then_ends),
      cmocka_unit_test(a_file_cut_anywhere_is_refused_with_its_name),
      cmocka_unit_test(damaged_bytes_are_refused_or_read_within_bounds),
      cmocka_unit_test(other_formats_and_versions_are_refused),
      cmocka_unit_test(a_file_without_tensors_opens),
      cmocka_unit_test(an_integer_for_each_layer_is_read_where_all_are_equal),
      cmocka_unit_test(a_part_of_a_split_model_is_told_from_a_whole_one),
      cmocka_unit_test(counts_past_the_file_are_refused_before_memory_is_asked_for),
      cmocka_unit_test(contradictory_tables_are_refused),
      cmocka_unit_test(a_real_model_dequantizes_as_the_gguf_package_does),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
