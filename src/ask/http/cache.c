/* A server's answers in a journal: key: the hash of a question; value: a JSON object with the answer, and
 * with what it took to get it. */
#include "ask/http/cache.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "store/journal/journal.h"

static const char what[] = "what: a judge's answers\n";
enum { KEY = 32 };

struct http_cache {
  char *folder, *work; /* work NULL: none */
  int rank;
  struct journal *journal; /* NULL: there is no folder yet */
};

static int no_memory(struct tpo_error *err)
{
  return tpo_fail(err, TPO_E_MEMORY, "no memory for a judge's answers");
}

static int is_of_old(const struct dirent *entry)
{
  size_t len = strlen(entry->d_name);
  return len > 6 && strcmp(entry->d_name + len - 6, ".jsonl") == 0;
}

static void warn_of_old(const char *folder)
{
  struct dirent **names;
  int n = scandir(folder, &names, is_of_old, NULL);
  if (n > 0)
    tpo_log(TPO_LOG_WARN,
            "%s: %d files *.jsonl of an earlier version are not read; what they answer is asked again",
            folder, n);
  for (int i = 0; i < n; i++) free(names[i]);
  if (n >= 0) free(names);
}

/* Whether the folder could be made: by its nearest parent that is there. */
static int check_parent(const char *folder, struct tpo_error *err)
{
  char path[4096];
  size_t len = strlen(folder);
  if (len >= sizeof path)
    return tpo_fail(err, TPO_E_USAGE, "%.60s...: the folder's name is too long", folder);
  memcpy(path, folder, len + 1);
  while (len > 1 && path[len - 1] == '/') path[--len] = '\0';
  while (!tpo_file_exists(path)) {
    while (len > 0 && path[len - 1] != '/') path[--len] = '\0';
    while (len > 1 && path[len - 1] == '/') path[--len] = '\0';
    if (len == 0) strcpy(path, ".");
  }
  if (tpo_is_dir(path) && access(path, W_OK | X_OK) == 0) return 0;
  return tpo_fail(err, TPO_E_IO, "%s, the folder for a judge's answers, can't be made: %s %s", folder, path,
                  tpo_is_dir(path) ? "is not to be written to" : "is no folder");
}

static int open_journal(struct http_cache *cache, struct tpo_error *err)
{
  return journal_open(&cache->journal, cache->folder, what, cache->rank, JOURNAL_READ, err);
}

int http_cache_open(struct http_cache **out, const char *folder, const char *work, int rank,
                    struct tpo_error *err)
{
  *out = NULL;
  struct http_cache *cache = tpo_calloc(1, sizeof *cache, err);
  if (!cache) return TPO_E_MEMORY;
  *cache = (struct http_cache){.folder = strdup(folder), .work = work ? strdup(work) : NULL, .rank = rank};
  int status = cache->folder && (cache->work || !work) ? 0 : no_memory(err);
  if (status == 0) status = tpo_file_exists(folder) ? open_journal(cache, err) : check_parent(folder, err);
  if (status == TPO_E_STATE)
    tpo_fail(err, status = TPO_E_USAGE, "%s; name another folder in judge.cache", strdupa(err->message));
  if (status == 0 && cache->journal) warn_of_old(folder);
  if (status == 0)
    *out = cache;
  else
    http_cache_close(cache);
  return status;
}

void http_cache_close(struct http_cache *cache)
{
  if (!cache) return;
  journal_close(cache->journal);
  free(cache->folder);
  free(cache->work);
  free(cache);
}

size_t http_cache_size(const struct http_cache *cache)
{
  return cache->journal ? journal_size(cache->journal) : 0;
}

const char *http_cache_folder(const struct http_cache *cache)
{
  return cache->folder;
}

/* [[TEXT, LOGPROB], ...], as put_top writes them; false: something else. */
static bool read_top(const json_t *list, struct http_kept *kept, struct tpo_error *err)
{
  size_t i;
  const json_t *token;
  if (list && (!json_is_array(list) || json_array_size(list) > ASK_MOST_TOP)) return false;
  json_array_foreach(list, i, token)
  {
    const json_t *text = json_array_get(token, 0), *logprob = json_array_get(token, 1);
    if (!json_is_string(text) || !json_is_number(logprob) ||
        ask_answer_add_top(&kept->top, json_string_value(text), json_string_length(text),
                           json_number_value(logprob), err) < 0)
      return false;
  }
  return true;
}

static int put_top(json_t *value, const struct http_kept *kept)
{
  json_t *list = json_array();
  int failed = json_object_set_new(value, "top_tokens", json_integer(kept->top_tokens));
  for (int i = 0; i < kept->top.n_top && !failed; i++)
    failed =
        json_array_append_new(list, json_pack("[s, f]", kept->top.top[i].text, kept->top.top[i].logprob));
  return json_object_set_new(value, "top", list) | failed;
}

static bool read_value(const struct http_cache *cache, const json_t *value, struct http_kept *kept,
                       const char **text)
{
  const char *work = NULL;
  int64_t top_tokens = 0;
  bool whole =
      tpo_json_get_string(value, "answer", text, "", NULL) == 0 && *text &&
      tpo_json_get_string(value, "work", &work, "", NULL) == 0 &&
      tpo_json_get_int(value, "requests", 1, INT32_MAX, &kept->requests, "", NULL) == 0 &&
      tpo_json_get_int(value, "prompt_tokens", 0, INT32_MAX, &kept->prompt_tokens, "", NULL) == 0 &&
      tpo_json_get_int(value, "completion_tokens", 0, INT32_MAX, &kept->completion_tokens, "", NULL) == 0 &&
      json_is_boolean(json_object_get(value, "truncated")) &&
      tpo_json_get_bool(value, "truncated", &kept->truncated, "", NULL) == 0 &&
      tpo_json_get_int(value, "top_tokens", 0, ASK_MOST_TOP, &top_tokens, "", NULL) == 0 &&
      read_top(json_object_get(value, "top"), kept, NULL);
  kept->ours = work && cache->work && strcmp(work, cache->work) == 0;
  kept->top_tokens = (int)top_tokens;
  return whole;
}

int http_cache_get(const struct http_cache *cache, const char key[33], int top_tokens, struct http_kept *kept,
                   struct tpo_error *err)
{
  struct journal_piece piece;
  struct tpo_error problem = {0};
  *kept = (struct http_kept){.requests = 1};
  int found = cache->journal ? journal_find(cache->journal, key, KEY, &piece, &problem) : 0;
  if (found == TPO_E_INPUT) return 0; /* damaged: it is asked for again */
  if (found < 0) return tpo_fail(err, found, "%s", problem.message);
  json_t *value = found ? tpo_json_parse(piece.bytes, piece.len, "an answer", NULL) : NULL;
  const char *text = NULL;
  found = value && read_value(cache, value, kept, &text) && kept->top_tokens >= top_tokens;
  if (found) kept->text = strdup(text);
  if (!found) ask_answer_clear(&kept->top);
  json_decref(value);
  return found && !kept->text ? no_memory(err) : found;
}

int http_cache_put(struct http_cache *cache, const char key[33], const struct http_kept *kept,
                   struct tpo_error *err)
{
  json_t *value = json_pack("{s:s, s:I, s:I, s:I, s:b, s:s*}", "answer", kept->text, "requests",
                            (json_int_t)kept->requests, "prompt_tokens", (json_int_t)kept->prompt_tokens,
                            "completion_tokens", (json_int_t)kept->completion_tokens, "truncated",
                            kept->truncated, "work", cache->work);
  bool whole = value && (kept->top_tokens == 0 || put_top(value, kept) == 0);
  char *text = whole ? tpo_json_dump(value) : NULL;
  json_decref(value);
  int status = text ? 0 : no_memory(err);
  if (status == 0 && !cache->journal) status = open_journal(cache, err);
  if (status == 0) status = journal_append(cache->journal, key, KEY, text, strlen(text), err);
  free(text);
  return status;
}
