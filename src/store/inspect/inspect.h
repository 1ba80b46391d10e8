/* Parts of tpo_inspect, one a kind of file. Each prints what it knows of an opened file; limit as in
 * tpo/store.h. */
#ifndef TPO_STORE_INSPECT_INSPECT_H
#define TPO_STORE_INSPECT_INSPECT_H

#include <jansson.h>
#include <stdio.h>
#include "tpo/base.h"

int tpo_inspect_samples(const char *path, int limit, FILE *out, struct tpo_error *err);
int tpo_inspect_pairs(const char *path, int limit, FILE *out, struct tpo_error *err);
int tpo_inspect_checkpoint(const char *path, int limit, FILE *out, struct tpo_error *err);
int tpo_inspect_gguf(const char *path, int limit, FILE *out, struct tpo_error *err);
int tpo_inspect_safetensors(const char *path, int limit, FILE *out, struct tpo_error *err);

/* "NAME: KIND" and, for our files, version, time and hash. */
void tpo_inspect_title(FILE *out, const char *path, const char *kind);
int tpo_inspect_origin(const char *path, FILE *out, struct tpo_error *err);
/* Rows of `n` to show under a limit (below 0: all), and characters of a text. */
size_t tpo_inspect_shown(size_t n, int limit);
size_t tpo_inspect_text_limit(int limit);
/* "  ... and 12 more pairs" when not all were shown. */
void tpo_inspect_rest(FILE *out, size_t n, size_t shown, const char *what);
/* A JSON object as aligned "key  value" lines, indented; anything else as one line of text. */
void tpo_inspect_json(FILE *out, const char *text, size_t len, int limit);
/* "1.2 MiB" */
struct tpo_bytes_text {
  char text[32];
};
struct tpo_bytes_text tpo_inspect_bytes(uint64_t bytes);
/* "[2, 3]"; dims row-major. */
struct tpo_shape_text {
  char text[200];
};
struct tpo_shape_text tpo_inspect_shape(int n_dims, const int64_t *dims);

#endif
