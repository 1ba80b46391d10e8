/* Goes through JSON text without building a tree of it.
 *
 * Of a tokenizer.json, the two big parts, model.vocab and model.merges, are read so: a vocabulary of 128k tokens
 * has half a million strings. The rest of the file is left to the JSON library. */
#ifndef TPO_TEXT_LOAD_SCAN_H
#define TPO_TEXT_LOAD_SCAN_H

#include "base/buf.h"
#include "tpo/base.h"

struct tpo_scan {
  const char *at, *end;
};

struct tpo_scan_parts {
  struct tpo_buf rest;           /* the file with {} and [] in the place of the two parts */
  struct tpo_scan vocab, merges; /* the parts, brackets included; at = NULL when absent */
};
/* False when the text is not a JSON object with an object "model", or is malformed on the way. Free
 * parts->rest. */
bool tpo_scan_split(const char *text, size_t len, struct tpo_scan_parts *parts);

/* The value of the object's member; value->at = NULL where there is none. False when the text is no JSON object. */
bool tpo_scan_member(const char *text, size_t len, const char *key, struct tpo_scan *value);

/* Takes c, white space before it aside. */
bool tpo_scan_take(struct tpo_scan *s, char c);
/* A string: *text is in the file or, when it has escapes, in buf. */
bool tpo_scan_string(struct tpo_scan *s, struct tpo_buf *buf, const char **text, size_t *len);
bool tpo_scan_int(struct tpo_scan *s, int64_t *out); /* 0 to 999999999 */

#endif
