/* Filters of chunks, backwards. The chunks were written by h5py 3.16. */
#include "unit.h"
#include "store/hdf5/filters.h"

enum { ROOM = 1 << 18 };
static uint8_t in[ROOM], out[ROOM];

static bool unfilter(const struct tpo_h5_pipeline *pipeline, uint32_t skipped, const uint8_t *chunk,
                     size_t n_in, size_t n_out, const uint8_t **bytes)
{
  memcpy(in, chunk, n_in);
  return tpo_h5_unfilter(pipeline, skipped, in, n_in, out, n_out, bytes);
}

/* 36 numbers: three times these. */
static const int32_t numbers[] = {1, 1, 1, 1, 2, 2, 2, 2, 70000, 70001, 70002, 5};

static void assert_numbers(const uint8_t *bytes)
{
  for (int i = 0; i < 3; i++)
    assert_memory_equal(bytes + (size_t)i * sizeof numbers, numbers, sizeof numbers);
}

static const uint8_t lzf_chunk[] = {0x04, 0x01, 0x00, 0x00, 0x00, 0x01, 0xe0, 0x02, 0x03, 0x00, 0x02, 0x20,
                                    0x0b, 0xe0, 0x03, 0x03, 0x04, 0x70, 0x11, 0x01, 0x00, 0x71, 0x20, 0x03,
                                    0x00, 0x72, 0x20, 0x03, 0x00, 0x05, 0x20, 0x1b, 0xe0, 0x03, 0x2b, 0x40,
                                    0x0b, 0xe0, 0x03, 0x2b, 0x40, 0x0b, 0xe0, 0x35, 0x2f, 0x01, 0x00, 0x00};
static const uint8_t three_chunk[] = {0x78, 0x5e, 0x63, 0x64, 0x64, 0x64, 0x64, 0x02, 0x82, 0x82,
                                      0xc2, 0x22, 0x56, 0x46, 0x1c, 0x6c, 0x06, 0x28, 0x10, 0x14,
                                      0x14, 0x84, 0x31, 0x71, 0xb2, 0x81, 0xda, 0x08, 0xb2, 0xf1,
                                      0x01, 0x00, 0x38, 0x26, 0x04, 0xcf, 0x24, 0x35, 0x27, 0xf7};
static const struct tpo_h5_pipeline lzf = {{{H5_LZF, 4}}, 1};
static const struct tpo_h5_pipeline three = {{{H5_SHUFFLE, 4}, {H5_GZIP, 4}, {H5_FLETCHER32, 4}}, 3};

static void chunks_of_other_programs_are_taken_back(void **state)
{
  (void)state;
  const uint8_t *bytes;
  assert_true(unfilter(&lzf, 0, lzf_chunk, sizeof lzf_chunk, 3 * sizeof numbers, &bytes));
  assert_numbers(bytes);
  assert_true(unfilter(&three, 0, three_chunk, sizeof three_chunk, 3 * sizeof numbers, &bytes));
  assert_numbers(bytes);
  static const uint8_t zeros[] = {0x01, 0x00, 0x00, 0xe0, 0xff, 0x00, 0xe0, 0x17, 0x00, 0x01, 0x00, 0x00};
  assert_true(unfilter(&lzf, 0, zeros, sizeof zeros, 300, &bytes));
  for (int i = 0; i < 300; i++) assert_int_equal(bytes[i], 0);
  assert_true(
      unfilter(&lzf, 1, zeros, sizeof zeros, sizeof zeros, &bytes)); /* it was left out of this chunk */
  assert_memory_equal(bytes, zeros, sizeof zeros);
}

static void chunks_of_another_length_or_cut_are_refused(void **state)
{
  (void)state;
  const uint8_t *bytes;
  size_t n = 3 * sizeof numbers;
  assert_false(unfilter(&lzf, 0, lzf_chunk, sizeof lzf_chunk, n - 1, &bytes));
  assert_false(unfilter(&lzf, 0, lzf_chunk, sizeof lzf_chunk, n + 1, &bytes));
  assert_false(unfilter(&three, 0, three_chunk, sizeof three_chunk, n - 1, &bytes));
  assert_false(unfilter(&three, 0, three_chunk, sizeof three_chunk, n + 1, &bytes));
  for (size_t cut = 0; cut < sizeof lzf_chunk; cut++)
    assert_false(unfilter(&lzf, 0, lzf_chunk, cut, n, &bytes));
  for (size_t cut = 0; cut < sizeof three_chunk; cut++)
    assert_false(unfilter(&three, 0, three_chunk, cut, n, &bytes));
  static const uint8_t before[] = {0x00, 0x41, 0x20, 0x01}; /* a run from before the beginning */
  assert_false(unfilter(&lzf, 0, before, sizeof before, 4, &bytes));
}

static void checksums_are_those_of_hdf5(void **state)
{
  (void)state;
  static const struct tpo_h5_pipeline sum = {{{H5_FLETCHER32, 1}}, 1};
  static const uint8_t odd[] = {0x01, 0x02, 0xff, 0xff, 0xff, 0xff, 0x07, 0x02, 0x08, 0x08, 0x0b};
  static const uint8_t ones[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, zeros[8] = {0};
  static uint8_t many[200007];
  const uint8_t *bytes;
  for (int i = 0; i < 200003; i++) many[i] = (uint8_t)(i % 251);
  memcpy(many + 200003, "\x36\x9d\x34\xc4", 4);
  assert_true(unfilter(&sum, 0, odd, sizeof odd, 7, &bytes));
  assert_true(unfilter(&sum, 0, ones, sizeof ones, 4, &bytes));
  assert_true(unfilter(&sum, 0, zeros, sizeof zeros, 4, &bytes));
  assert_true(unfilter(&sum, 0, many, sizeof many, 200003, &bytes));
  many[100000] ^= 1;
  assert_false(unfilter(&sum, 0, many, sizeof many, 200003, &bytes));
  assert_false(unfilter(&sum, 0, odd, 3, 0, &bytes));
}

static void what_is_less_than_an_element_is_not_shuffled(void **state)
{
  (void)state;
  static const struct tpo_h5_pipeline four = {{{H5_SHUFFLE, 4}}, 1}, none = {{{H5_SHUFFLE, 0}}, 1},
                                      huge = {{{H5_SHUFFLE, UINT32_MAX}}, 1};
  static const uint8_t chunk[] = {1, 5, 2, 6, 3, 7, 4, 8, 9, 10}, plain[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10};
  const uint8_t *bytes;
  assert_true(unfilter(&four, 0, chunk, sizeof chunk, sizeof chunk, &bytes));
  assert_memory_equal(bytes, plain, sizeof plain);
  assert_true(unfilter(&none, 0, chunk, sizeof chunk, sizeof chunk, &bytes));
  assert_memory_equal(bytes, chunk, sizeof chunk);
  assert_true(unfilter(&huge, 0, chunk, sizeof chunk, sizeof chunk, &bytes));
  assert_memory_equal(bytes, chunk, sizeof chunk);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(chunks_of_other_programs_are_taken_back),
      cmocka_unit_test(chunks_of_another_length_or_cut_are_refused),
      cmocka_unit_test(checksums_are_those_of_hdf5),
      cmocka_unit_test(what_is_less_than_an_element_is_not_shuffled),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
