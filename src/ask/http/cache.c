/* A line is {"sum":"16 hex digits","key":"32 hex digits","answer":"..."}, sum being the hash of all bytes
 * behind its comma. The layout is fixed, so that reading a folder hashes its bytes and parses nothing: only
 * an answer that is asked for is. Old files stay mapped; of our own, the place of each line is kept. */
#include "ask/http/cache.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/memory.h"

#define SUM_BEGIN "{\"sum\":\""
#define KEY_BEGIN "\"key\":\""
#define ANSWER_BEGIN "\",\"answer\":"
enum {
  SUM_AT = sizeof SUM_BEGIN - 1,
  SUMMED_AT = SUM_AT + 16 + 2, /* behind `",` */
  KEY_AT = SUMMED_AT + sizeof KEY_BEGIN - 1,
  ANSWER_AT = KEY_AT + 32 + sizeof ANSWER_BEGIN - 1,
  SHORTEST = ANSWER_AT + 3, /* `""}` */
  LONGEST = 64 << 20
};

struct entry {
  uint64_t key[2];
  const char *line; /* in a map; NULL: in our own file, at `offset` */
  uint64_t offset;
  uint32_t len; /* bytes, without the newline; 0: the place in the table is free */
};

struct http_cache {
  char *folder;
  int rank;
  struct tpo_map *maps;
  size_t n_maps;
  struct entry *entries; /* open addressing; capacity a power of two, at most half of it used */
  size_t n, capacity;
  int fd; /* our own file; -1: nothing is written yet */
  char path[4096];
  uint64_t size; /* of our own file, bytes */
};

static bool read_hex(const char *text, uint64_t *out)
{
  *out = 0;
  for (int i = 0; i < 16; i++) {
    char c = text[i];
    if ((c < '0' || c > '9') && (c < 'a' || c > 'f')) return false;
    *out = *out << 4 | (uint64_t)(c <= '9' ? c - '0' : c - 'a' + 10);
  }
  return true;
}

/* Whether the line is whole and as it was written. */
static bool check_line(const char *line, size_t len, uint64_t key[2])
{
  uint64_t sum;
  return len >= SHORTEST && len <= LONGEST && line[len - 1] == '}' && memcmp(line, SUM_BEGIN, SUM_AT) == 0 &&
         line[SUM_AT + 16] == '"' && line[SUM_AT + 17] == ',' &&
         memcmp(line + SUMMED_AT, KEY_BEGIN, sizeof KEY_BEGIN - 1) == 0 &&
         memcmp(line + KEY_AT + 32, ANSWER_BEGIN, sizeof ANSWER_BEGIN - 1) == 0 &&
         read_hex(line + SUM_AT, &sum) && read_hex(line + KEY_AT, &key[0]) &&
         read_hex(line + KEY_AT + 16, &key[1]) && sum == tpo_hash64(line + SUMMED_AT, len - SUMMED_AT);
}

/* The entry of the key, or the free place for it. */
static struct entry *find(const struct http_cache *cache, const uint64_t key[2])
{
  size_t at = (size_t)key[1] & (cache->capacity - 1);
  for (;; at = (at + 1) & (cache->capacity - 1)) {
    struct entry *entry = &cache->entries[at];
    if (entry->len == 0 || (entry->key[0] == key[0] && entry->key[1] == key[1])) return entry;
  }
}

static int make_room(struct http_cache *cache, struct tpo_error *err)
{
  if (2 * (cache->n + 1) <= cache->capacity) return 0;
  struct http_cache larger = {.capacity = cache->capacity ? 2 * cache->capacity : 1024};
  larger.entries = tpo_calloc(larger.capacity, sizeof *larger.entries, err);
  if (!larger.entries) return TPO_E_MEMORY;
  for (size_t i = 0; i < cache->capacity; i++)
    if (cache->entries[i].len > 0) *find(&larger, cache->entries[i].key) = cache->entries[i];
  free(cache->entries);
  cache->entries = larger.entries;
  cache->capacity = larger.capacity;
  return 0;
}

/* The first that is told of a key stays. */
static int add(struct http_cache *cache, const struct entry *entry, struct tpo_error *err)
{
  int status = make_room(cache, err);
  if (status < 0) return status;
  struct entry *place = find(cache, entry->key);
  if (place->len > 0) return 0;
  *place = *entry;
  cache->n++;
  return 0;
}

static int read_map(struct http_cache *cache, const struct tpo_map *map, const char *path,
                    struct tpo_error *err)
{
  const char *data = (const char *)map->data;
  size_t damaged = 0;
  int status = 0;
  for (size_t at = 0; at < map->size && status == 0;) {
    const char *end = memchr(data + at, '\n', map->size - at);
    size_t len = end ? (size_t)(end - data) - at : map->size - at;
    struct entry entry = {.line = data + at, .len = (uint32_t)len};
    if (check_line(data + at, len, entry.key))
      status = add(cache, &entry, err);
    else
      damaged += end && end + 1 < data + map->size;
    at += len + 1;
  }
  if (damaged > 0)
    tpo_log(TPO_LOG_WARN, "%s: %zu damaged lines are left out; their questions are asked again", path,
            damaged);
  return status;
}

static int is_answers(const struct dirent *entry)
{
  size_t len = strlen(entry->d_name);
  return len > 6 && strcmp(entry->d_name + len - 6, ".jsonl") == 0;
}

/* In the order of their names, so that of contradicting answers the same counts each time. */
static int read_folder(struct http_cache *cache, struct tpo_error *err)
{
  struct dirent **names;
  char path[4096];
  int n = scandir(cache->folder, &names, is_answers, alphasort), status = 0;
  if (n < 0)
    return tpo_fail(err, TPO_E_IO, "the folder of answers %s can't be read: %s", cache->folder,
                    strerror(errno));
  cache->maps = tpo_calloc((size_t)n, sizeof *cache->maps, err);
  if (!cache->maps) status = TPO_E_MEMORY;
  for (int i = 0; i < n && status == 0; i++) {
    status = tpo_path_join(path, sizeof path, cache->folder, names[i]->d_name, err);
    if (status < 0 || !tpo_is_regular(path)) continue;
    struct tpo_map *map = &cache->maps[cache->n_maps++];
    status = tpo_map_open(map, path, err);
    if (status == 0) status = read_map(cache, map, path, err);
  }
  for (int i = 0; i < n; i++) free(names[i]);
  free(names);
  return status;
}

int http_cache_open(struct http_cache **out, const char *folder, int rank, struct tpo_error *err)
{
  *out = NULL;
  struct http_cache *cache = tpo_calloc(1, sizeof *cache, err);
  if (!cache) return TPO_E_MEMORY;
  cache->fd = -1;
  cache->rank = rank;
  cache->folder = strdup(folder);
  int status =
      cache->folder ? tpo_make_dirs(folder, err) : tpo_fail(err, TPO_E_MEMORY, "no memory for answers");
  if (status == 0) status = make_room(cache, err);
  if (status == 0) status = read_folder(cache, err);
  if (status == 0)
    *out = cache;
  else
    http_cache_close(cache);
  return status;
}

void http_cache_close(struct http_cache *cache)
{
  if (!cache) return;
  for (size_t i = 0; i < cache->n_maps; i++) tpo_map_close(&cache->maps[i]);
  if (cache->fd >= 0) close(cache->fd);
  free(cache->maps);
  free(cache->entries);
  free(cache->folder);
  free(cache);
}

size_t http_cache_size(const struct http_cache *cache)
{
  return cache->n;
}

/* The line's bytes; those of our own file go to `own`. NULL: they can't be had. */
static const char *line_of(const struct http_cache *cache, const struct entry *entry, struct tpo_buf *own)
{
  if (entry->line) return entry->line;
  for (size_t got = 0; got < entry->len;) {
    char chunk[4096];
    size_t want = entry->len - got < sizeof chunk ? entry->len - got : sizeof chunk;
    ssize_t n = pread(cache->fd, chunk, want, (off_t)(entry->offset + got));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return NULL;
    tpo_buf_append(own, chunk, (size_t)n);
    got += (size_t)n;
  }
  return own->data;
}

int http_cache_get(const struct http_cache *cache, const char key[33], char **answer, struct tpo_error *err)
{
  uint64_t wanted[2], found[2];
  struct tpo_buf own = {0};
  *answer = NULL;
  if (!read_hex(key, &wanted[0]) || !read_hex(key + 16, &wanted[1])) return 0;
  const struct entry *entry = find(cache, wanted);
  if (entry->len == 0) return 0;
  const char *line = line_of(cache, entry, &own);
  json_t *text = NULL;
  if (line && check_line(line, entry->len, found) && found[0] == wanted[0] && found[1] == wanted[1])
    text = tpo_json_parse(line + ANSWER_AT, entry->len - ANSWER_AT - 1, "an answer", NULL);
  bool is_text = json_is_string(text);
  if (is_text) *answer = strdup(json_string_value(text));
  json_decref(text);
  tpo_buf_free(&own);
  if (is_text && !*answer) return tpo_fail(err, TPO_E_MEMORY, "no memory for an answer");
  return is_text;
}

/* Named after rank, process and time, so that no two processes have the same. */
static int create_file(struct http_cache *cache, struct tpo_error *err)
{
  char name[96];
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  snprintf(name, sizeof name, "answers-%d-%ld-%lld%09ld.jsonl", cache->rank, (long)getpid(),
           (long long)now.tv_sec, now.tv_nsec);
  int status = tpo_path_join(cache->path, sizeof cache->path, cache->folder, name, err);
  if (status < 0) return status;
  cache->fd = open(cache->path, O_RDWR | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0666);
  if (cache->fd >= 0) return 0;
  return tpo_fail(err, TPO_E_IO, "%s: can't be created: %s", cache->path, strerror(errno));
}

static int append_line(struct http_cache *cache, const struct tpo_buf *line, struct tpo_error *err)
{
  for (size_t at = 0; at < line->len;) {
    ssize_t n = write(cache->fd, line->data + at, line->len - at);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0)
      return tpo_fail(err, TPO_E_IO, "%s: an answer can't be written: %s", cache->path,
                      n < 0 ? strerror(errno) : "nothing was taken");
    at += (size_t)n;
  }
  return 0;
}

int http_cache_put(struct http_cache *cache, const char key[33], const char *answer, struct tpo_error *err)
{
  struct tpo_buf summed = {0}, line = {0};
  tpo_buf_printf(&summed, KEY_BEGIN "%.32s" ANSWER_BEGIN, key);
  tpo_json_append_string(&summed, answer, strlen(answer));
  tpo_buf_putc(&summed, '}');
  if (!summed.failed)
    tpo_buf_printf(&line, SUM_BEGIN "%016llx\",%s\n", (unsigned long long)tpo_hash64(summed.data, summed.len),
                   summed.data);
  struct entry entry = {.offset = cache->size, .len = (uint32_t)(line.len ? line.len - 1 : 0)};
  int status = line.failed || summed.failed ? tpo_fail(err, TPO_E_MEMORY, "no memory for an answer") : 0;
  /* Too long a line would not be read again. */
  if (status == 0 && line.len <= LONGEST && check_line(line.data, entry.len, entry.key)) {
    if (cache->fd < 0) status = create_file(cache, err);
    if (status == 0) status = append_line(cache, &line, err);
    if (status == 0) status = add(cache, &entry, err);
    cache->size += line.len;
  }
  tpo_buf_free(&summed);
  tpo_buf_free(&line);
  return status;
}
