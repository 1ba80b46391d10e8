/* CRC-32C against the vectors of RFC 3720, B.4, and the usual check value. */
#include "unit.h"
#include "base/crc32c.h"

static void known_texts_have_their_checksums(void **state)
{
  (void)state;
  uint8_t bytes[32];
  assert_int_equal(tpo_crc32c("123456789", 9), 0xe3069283);
  assert_int_equal(tpo_crc32c("", 0), 0);
  memset(bytes, 0, sizeof bytes);
  assert_int_equal(tpo_crc32c(bytes, sizeof bytes), 0x8a9136aa);
  memset(bytes, 0xff, sizeof bytes);
  assert_int_equal(tpo_crc32c(bytes, sizeof bytes), 0x62a8ab43);
  for (int i = 0; i < 32; i++) bytes[i] = (uint8_t)i;
  assert_int_equal(tpo_crc32c(bytes, sizeof bytes), 0x46dd794e);
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(known_texts_have_their_checksums)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
