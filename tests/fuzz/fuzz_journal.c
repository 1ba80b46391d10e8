/* A journal's file, as a killed process or a bad disk left it. Whatever is read can be appended to another journal,
 * which then holds the same. */
#include "fuzz/fuzz.h"
#include "store/journal/journal.h"

#define WORK "fuzzed: yes\n"

static struct journal *copy;

static int copy_entry(void *arg, const void *key, size_t n_key, struct journal_piece piece,
                      struct tpo_error *err)
{
  struct journal_piece again;
  (void)arg;
  if (n_key == 0) return 0;
  CLAIM(journal_append(copy, key, n_key, piece.bytes, piece.len, err) == 0, "%s", err->message);
  CLAIM(journal_find(copy, key, n_key, &again, err) == 1, "%s", err->message);
  CLAIM(again.len == piece.len && (!again.len || memcmp(again.bytes, piece.bytes, again.len) == 0), "copied");
  return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  struct journal *journal;
  struct tpo_error err = {0};
  fuzz_put("0.journal", (struct part){data, size});
  if (fuzz_refused(journal_open(&journal, fuzz_folder(), WORK, 0, JOURNAL_READ, &err), &err)) return 0;
  CLAIM(journal_open(&copy, fuzz_path("copy"), WORK, 0, JOURNAL_READ, &err) == 0, "%s", err.message);
  fuzz_refused(journal_each(journal, copy_entry, NULL, &err), &err);
  journal_close(copy);
  journal_close(journal);
  CLAIM(journal_remove(fuzz_path("copy"), &err) == 0, "%s", err.message);
  return 0;
}
