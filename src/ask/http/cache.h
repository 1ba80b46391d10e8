/* Answers that are kept, so that no question is asked twice: by a resumed run, or by another with the same
 * questions. A journal (store/journal/journal.h), so every process appends to a file of its own and reads
 * all that were there, and the number of ranks may change. */
#ifndef TPO_ASK_HTTP_CACHE_H
#define TPO_ASK_HTTP_CACHE_H

#include "ask/ask.h"

struct http_cache;

struct http_kept {
  char *text;                               /* the answer; free() it */
  int64_t requests;                         /* that were sent for it, at least 1 */
  int64_t prompt_tokens, completion_tokens; /* as the server told */
  bool truncated;                           /* by a limit on tokens */
  int top_tokens;                           /* of the likeliest first tokens that were asked for */
  struct ask_answer top;                    /* its `top` alone: those that were told; ask_answer_clear() it */
  bool ours;                                /* asked for by the work that the cache was opened with */
};

/* Reads the folder where it is there; where it isn't, it is made with the first answer, and what would
 * prevent that is an error now. work: names what the answers are asked for, so that it may be taken up again
 * and count as its own what it had asked before; NULL: nothing that is taken up. Files *.jsonl, in which
 * earlier versions kept answers, are not read; a warning tells of them. */
int http_cache_open(struct http_cache **out, const char *folder, const char *work, int rank,
                    struct tpo_error *err);
/* 1: found; 0: there is none, or it is damaged, doesn't say whether the answer was cut off, or was asked for with
 * fewer than top_tokens of the likeliest tokens; negative: error. key: 32 lower-case hex digits. */
int http_cache_get(const struct http_cache *cache, const char key[33], int top_tokens, struct http_kept *kept,
                   struct tpo_error *err);
/* Keeps an answer (`ours` isn't looked at): written when this returns. */
int http_cache_put(struct http_cache *cache, const char key[33], const struct http_kept *kept,
                   struct tpo_error *err);
size_t http_cache_size(const struct http_cache *cache); /* answers */
const char *http_cache_folder(const struct http_cache *cache);
void http_cache_close(struct http_cache *cache); /* takes NULL */

#endif
