/* base: what every layer uses: errors and logging.
 *
 * Every function that can fail returns 0 or a negative tpo_status and, where it takes a struct tpo_error,
 * leaves there one sentence that names the place and what was expected:
 *
 *   struct tpo_error err = {0};
 *   if (tpo_model_open(&model, path, &options, &err) < 0) {
 *     fprintf(stderr, "%s\n", err.message);
 *     return 1;
 *   }
 *
 * `err` may be NULL when only the code matters. Nothing in the library ends the process. */
#ifndef TPO_BASE_H
#define TPO_BASE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Marks what libtpo.so exports; all else in it is hidden. */
#define TPO_API __attribute__((visibility("default")))

enum tpo_status {
  TPO_OK = 0,
  TPO_E_USAGE = -1,       /* option, configuration, or a file named by one that can't be opened: exit 2 */
  TPO_E_INPUT = -2,       /* malformed contents of a file or of standard input */
  TPO_E_IO = -3,          /* reading or writing failed: disk full, permission, ... */
  TPO_E_MEMORY = -4,      /* an allocation failed */
  TPO_E_UNSUPPORTED = -5, /* well-formed, but not something this program handles; refused by name */
  TPO_E_COMM = -6,        /* another rank failed, or a deadline passed */
  TPO_E_INTERRUPTED = -7, /* a signal asked to stop; tpo_interrupted() tells which */
  TPO_E_NUMERIC = -8,     /* NaN or infinity where a finite number must stand */
  TPO_E_STATE = -9,       /* a resume or a file that belongs to another run, model or configuration */
};

struct tpo_error {
  int code; /* enum tpo_status */
  char message[1024];
};

/* Sets err (when not NULL) and returns code,
 * so that `return tpo_fail(err, TPO_E_INPUT, "...")` reads well. */
TPO_API int tpo_fail(struct tpo_error *err, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Puts "prefix: " before the message that err holds;
 * returns err->code. For adding the place on the way up. */
TPO_API int tpo_fail_prefix(struct tpo_error *err, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* A growing byte string, zero at first. A failed allocation is remembered in `failed` and every later append
 * does nothing, so a writer checks once, at the end. */
struct tpo_buf {
  char *data; /* NUL-terminated when not NULL; owned */
  size_t len; /* bytes, without the NUL */
  size_t capacity;
  bool failed;
};
TPO_API void tpo_buf_free(struct tpo_buf *buf);

enum tpo_dtype { TPO_F32, TPO_F16, TPO_BF16 }; /* of a tensor's elements, in memory and in files */

enum tpo_log_level { TPO_LOG_ERROR, TPO_LOG_WARN, TPO_LOG_INFO, TPO_LOG_DEBUG };

/* Logs go to standard error, a line each; on ranks other than 0 only errors are printed.
 * `json` prints one JSON object a line: time, level, rank, message. */
TPO_API void tpo_log_setup(enum tpo_log_level level, bool json, int rank);
TPO_API enum tpo_log_level tpo_log_level(void);
TPO_API void tpo_log(enum tpo_log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* How far a piece of work is, for people who wait. A phase begins when its name is told first, or again after
 * its end or with less done; it ends where done reaches total. Within a phase neither done nor done / total
 * goes back, but for an estimate that the end replaces with the count. */
struct tpo_progress {
  const char *phase;  /* "sampling" */
  const char *unit;   /* what is counted, in the plural: "tokens" */
  double done, total; /* total 0: unknown */
  const char *note;   /* more, in a few ASCII words; NULL: none */
};

/* Told how much of one call's work is done, a share from 0 to 1 that never goes back; any number of times.
 * tell NULL: nobody listens. */
struct tpo_watch {
  void (*tell)(void *arg, double share);
  void *arg;
};
/* watch may be NULL, too. */
TPO_API void tpo_watch_tell(const struct tpo_watch *watch, double share);

/* The signal (SIGINT, SIGTERM, SIGUSR1) that asked this process to stop, or 0. Long loops poll it and return
 * TPO_E_INTERRUPTED at their next safe point. tpo_interrupt_install makes the handlers. */
TPO_API int tpo_interrupted(void);
TPO_API void tpo_interrupt_install(void);
/* Between the two, the signals end the process at once: for waiting on input, when there is nothing to lose
 * yet and no safe point may ever come. Pairs may nest; without tpo_interrupt_install they do nothing. */
TPO_API void tpo_interrupt_pause(void);
TPO_API void tpo_interrupt_resume(void);

TPO_API const char *tpo_version(void); /* "0.1.0" */

#endif
