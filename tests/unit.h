/* What every unit test includes: cmocka with the headers it wants, and a folder that is removed after the
 * test. */
#ifndef TPO_TESTS_UNIT_H
#define TPO_TESTS_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

/* Where kernels are emulated under AddressSanitizer, which makes them ten times as slow, a test does a piece of its
 * rounds that still takes every path: the others hold in the build without it. */
#if defined(TPO_HAVE_CUDA) && defined(__SANITIZE_ADDRESS__)
enum { few_rounds = 1 };
#else
enum { few_rounds = 0 };
#endif

/* cmocka setup and teardown: *state becomes the path of a fresh folder. */
static inline int make_folder(void **state)
{
  const char *base = getenv("TMPDIR");
  char *path = malloc(4096);
  if (!path) return -1;
  snprintf(path, 4096, "%s/tpo-test-XXXXXX", base ? base : "/tmp");
  *state = path;
  return mkdtemp(path) ? 0 : -1;
}

static inline int remove_folder(void **state)
{
  char *path = *state;
  pid_t child = fork();
  if (child == 0) {
    execlp("rm", "rm", "-rf", path, (char *)NULL);
    _exit(127);
  }
  int status = -1;
  waitpid(child, &status, 0);
  free(path);
  return status == 0 ? 0 : -1;
}

#define assert_contains(text, part) assert_non_null(strstr((text), (part)))

#endif
