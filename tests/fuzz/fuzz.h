/* What the fuzz targets share: an input's parts, files of this process alone, and claims that must hold.
 *
 * A target is one function, called with any bytes. It calls the library as a command would, and claims what
 * the library's headers promise: that a refusal says why, that what is read and written again reads equal.
 * Inputs of several parts (a folder's files, a pattern and a text) have a line "====" between them, so that a
 * seed can be written, and a finding read, with an editor. */
#ifndef TPO_TESTS_FUZZ_H
#define TPO_TESTS_FUZZ_H

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/utf8.h"
#include "tpo/base.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Ends the process, which libFuzzer reports as a finding. */
#define CLAIM(condition, ...)                                                                                \
  do {                                                                                                       \
    if (condition) break;                                                                                    \
    fprintf(stderr, "%s:%d: does not hold: %s", __FILE__, __LINE__, #condition);                             \
    fprintf(stderr, ": " __VA_ARGS__);                                                                       \
    fputc('\n', stderr);                                                                                     \
    abort();                                                                                                 \
  } while (0)

struct part {
  const uint8_t *data; /* borrowed from the input */
  size_t len;
};
#define FUZZ_SEPARATOR "\n====\n"

/* Cuts the input at the separators into `most` parts at most, the last of which takes the rest; those that
 * are not there are empty. Returns how many there are. */
static inline size_t fuzz_parts(const uint8_t *data, size_t size, struct part *parts, size_t most)
{
  size_t n = 0, width = sizeof FUZZ_SEPARATOR - 1;
  for (size_t i = 0; i < most; i++) parts[i] = (struct part){(const uint8_t *)"", 0};
  for (const uint8_t *end = data + size;; n++) {
    size_t left = (size_t)(end - data);
    const uint8_t *cut = left && n + 1 < most ? memmem(data, left, FUZZ_SEPARATOR, width) : NULL;
    if (left) parts[n] = (struct part){data, cut ? (size_t)(cut - data) : left};
    if (!cut) return n + 1;
    data = cut + width;
  }
}

/* A part as a C string, up to its first NUL; free() it. */
static inline char *fuzz_string(struct part part)
{
  char *text = strndup((const char *)part.data, part.len);
  CLAIM(text, "no memory");
  return text;
}

static char fuzz_dir[256]; /* of this process; removed when it ends without a finding */

static inline int fuzz_remove(const char *path, const struct stat *status, int kind, struct FTW *walk)
{
  (void)status, (void)kind, (void)walk;
  return remove(path);
}

static inline void fuzz_remove_folder(void)
{
  nftw(fuzz_dir, fuzz_remove, 8, FTW_DEPTH | FTW_PHYS);
}

/* A folder of this process under TMPDIR. Real files rather than memfd: HDF5 resolves links, and a model's
 * folder has to be one. */
static inline const char *fuzz_folder(void)
{
  if (fuzz_dir[0]) return fuzz_dir;
  const char *base = getenv("TMPDIR");
  snprintf(fuzz_dir, sizeof fuzz_dir, "%s/tpo-fuzz-XXXXXX", base ? base : "/tmp");
  CLAIM(mkdtemp(fuzz_dir), "no folder %s: %s", fuzz_dir, strerror(errno));
  atexit(fuzz_remove_folder);
  tpo_log_setup(TPO_LOG_ERROR, false, 0); /* warnings would bury a finding */
  return fuzz_dir;
}

/* The path of a file in the folder; good for the next three calls. */
static inline const char *fuzz_path(const char *name)
{
  static char paths[4][512];
  static unsigned turn;
  char *path = paths[turn++ % 4];
  snprintf(path, sizeof paths[0], "%s/%s", fuzz_folder(), name);
  return path;
}

static inline const char *fuzz_put(const char *name, struct part part)
{
  const char *path = fuzz_path(name);
  FILE *file = fopen(path, "wb");
  CLAIM(file, "%s: %s", path, strerror(errno));
  CLAIM(fwrite(part.data, 1, part.len, file) == part.len, "%s: %s", path, strerror(errno));
  CLAIM(fclose(file) == 0, "%s: %s", path, strerror(errno));
  return path;
}

/* The same, but a part that is empty is a file that is not there. */
static inline void fuzz_put_or_remove(const char *name, struct part part)
{
  if (part.len > 0)
    fuzz_put(name, part);
  else
    unlink(fuzz_path(name));
}

/* A refusal is a known code and one line that a terminal can be shown. True when status is one. */
static inline bool fuzz_refused(int status, const struct tpo_error *err)
{
  if (status >= 0) return false;
  CLAIM(status >= TPO_E_STATE, "status %d", status);
  CLAIM(err->code == status, "code %d, status %d: %s", err->code, status, err->message);
  CLAIM(err->message[0], "status %d without a message", status);
  CLAIM(!strchr(err->message, '\n'), "%s", err->message);
  CLAIM(tpo_utf8_valid(err->message, strlen(err->message), NULL), "%s", err->message);
  return true;
}

#endif
