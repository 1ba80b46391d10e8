/* JSON through jansson, with errors that tell the place, and typed getters that tell what was expected. */
#ifndef TPO_BASE_JSON_H
#define TPO_BASE_JSON_H

#include <jansson.h>
#include "tpo/base.h"
#include "base/buf.h"

/* Parses exactly one value; `place` (a file's name, "file:12") begins any message. Strings may hold \u0000.
 * Duplicate keys are an error. NULL on error. json_decref() releases. */
json_t *tpo_json_parse(const char *text, size_t len, const char *place, struct tpo_error *err);
json_t *tpo_json_load(const char *path, size_t max_bytes, struct tpo_error *err);
/* Compact, keys in insertion order, numbers with 17 digits when
 * needed. NULL when memory is short. free() it. */
char *tpo_json_dump(const json_t *value);
/* A string of any bytes, a folder's name say, as tpo_visible_append writes it; NULL when memory is short. */
json_t *tpo_json_visible(const char *text);

/* Each leaves *out as it is when the key is absent or null (so preset
 * the default), and fails on a wrong type. */
int tpo_json_get_int(const json_t *object, const char *key, int64_t min, int64_t max, int64_t *out,
                     const char *place, struct tpo_error *err);
int tpo_json_get_double(const json_t *object, const char *key, double *out, const char *place,
                        struct tpo_error *err);
int tpo_json_get_bool(const json_t *object, const char *key, bool *out, const char *place,
                      struct tpo_error *err);
/* *out borrows from object. */
int tpo_json_get_string(const json_t *object, const char *key, const char **out, const char *place,
                        struct tpo_error *err);

/* Appends text as a JSON string with its quotes; bytes that are not UTF-8 become U+FFFD. */
void tpo_json_append_string(struct tpo_buf *buf, const char *text, size_t len);
/* Appends the shortest of 15 to 17 digits that reads back as x; NaN and
 * infinities, which JSON lacks, become null. */
void tpo_json_append_double(struct tpo_buf *buf, double x);

#endif
