/* Answers that are kept, so that no question is asked twice: by a resumed run, or by another with the same
 * questions. A folder of append-only JSON Lines; every process writes a file of its own and reads all, so the
 * number of ranks may change. */
#ifndef TPO_ASK_HTTP_CACHE_H
#define TPO_ASK_HTTP_CACHE_H

#include "tpo/base.h"

struct http_cache;
/* Makes the folder when it isn't there and reads its files *.jsonl. Each line carries a hash of itself: one
 * that does not match is not used, and a warning tells of it, except of a file's last, which a killed process
 * may have left unfinished. */
int http_cache_open(struct http_cache **out, const char *folder, int rank, struct tpo_error *err);
/* 1: found, *answer is the caller's to free(); 0: there is none; negative: error. key: 32 lower-case hex
 * digits. */
int http_cache_get(const struct http_cache *cache, const char key[33], char **answer, struct tpo_error *err);
/* Keeps the answer: written when this returns. */
int http_cache_put(struct http_cache *cache, const char key[33], const char *answer, struct tpo_error *err);
size_t http_cache_size(const struct http_cache *cache); /* answers */
void http_cache_close(struct http_cache *cache);        /* takes NULL */

#endif
