/* A folder of journal files: what stands in them, found by key, and one more that this process appends to. */
#include "store/journal/journal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/hash.h"
#include "base/memory.h"
#include "store/journal/file.h"

struct entry {
  struct journal_frame frame; /* in a map; of this process: hash and lengths, and the key is `own_key` */
  uint64_t offset;            /* of this process: where the value begins in our own file */
  char *own_key;              /* NULL: in a map */
};

struct journal {
  char *folder, *work;
  int rank;
  struct tpo_map *maps;
  size_t n_maps;
  struct entry *entries; /* in the order in which their keys came first */
  size_t n, capacity;
  size_t *table; /* [n_table] open addressing: number of an entry + 1; 0 is free; at most half is used */
  size_t n_table;
  int fd; /* our own file; -1: nothing is written yet */
  char path[4096];
  uint64_t size;      /* of our own file, bytes */
  double synced;      /* when it was last brought to disk */
  struct tpo_buf own; /* a value of our own file, read back */
};

static const void *key_of(const struct entry *entry)
{
  return entry->own_key ? (const void *)entry->own_key : entry->frame.key;
}

/* The place in the table that has the key, or the free one for it. */
static size_t *place_of(const struct journal *j, const void *key, size_t n_key)
{
  size_t at = (size_t)tpo_hash64(key, n_key) & (j->n_table - 1);
  for (;; at = (at + 1) & (j->n_table - 1)) {
    if (j->table[at] == 0) return &j->table[at];
    const struct entry *entry = &j->entries[j->table[at] - 1];
    if (entry->frame.n_key == n_key && memcmp(key_of(entry), key, n_key) == 0) return &j->table[at];
  }
}

static int make_room(struct journal *j, struct tpo_error *err)
{
  if (j->n_table > 0 && 2 * (j->n + 1) <= j->n_table) return 0;
  size_t n_table = j->n_table ? 2 * j->n_table : 1024;
  size_t *table = tpo_calloc(n_table, sizeof *table, err);
  if (!table) return TPO_E_MEMORY;
  free(j->table);
  j->table = table;
  j->n_table = n_table;
  for (size_t i = 0; i < j->n; i++) *place_of(j, key_of(&j->entries[i]), j->entries[i].frame.n_key) = i + 1;
  return 0;
}

/* Takes own_key. The last of a key counts, in the place of the first. */
static int add(struct journal *j, const struct entry *entry, struct tpo_error *err)
{
  int status = make_room(j, err);
  if (status == 0) status = tpo_grow(&j->entries, &j->capacity, j->n + 1, sizeof *j->entries, err);
  if (status < 0) {
    free(entry->own_key);
    return status;
  }
  size_t *place = place_of(j, key_of(entry), entry->frame.n_key);
  bool is_new = *place == 0;
  if (is_new) *place = ++j->n;
  struct entry *there = &j->entries[*place - 1];
  if (!is_new) free(there->own_key);
  *there = *entry;
  return 0;
}

/* Bytes of a line that a message has room for, whole characters. */
static int shown(const char *line, size_t len)
{
  enum { LONGEST = 200 };
  if (len <= LONGEST) return (int)len;
  len = LONGEST;
  while (len > 0 && ((unsigned char)line[len] & 0xc0) == 0x80) len--;
  return (int)len;
}

/* The first line in which the works differ. */
static int refuse_work(const struct journal *j, const char *work, size_t len, struct tpo_error *err)
{
  const char *ours = j->work, *theirs = work, *end = work + len;
  for (;;) {
    const char *a = strchrnul(ours, '\n'), *b = memchr(theirs, '\n', (size_t)(end - theirs));
    if (!b) b = end;
    if (!*a || b == end || a - ours != b - theirs || memcmp(ours, theirs, (size_t)(a - ours)) != 0)
      return tpo_fail(err, TPO_E_STATE, "%s: holds work of another kind: `%.*s` there, `%.*s` now", j->folder,
                      shown(theirs, (size_t)(b - theirs)), theirs, shown(ours, (size_t)(a - ours)), ours);
    ours = a + 1;
    theirs = b + 1;
  }
}

static int read_map(struct journal *j, const struct tpo_map *map, const char *path, struct tpo_error *err)
{
  const char *work;
  size_t len, at, damaged = 0;
  if (!journal_read_head(map, &work, &len)) return 0; /* killed before it held anything */
  if (len != strlen(j->work) || memcmp(work, j->work, len) != 0) return refuse_work(j, work, len, err);
  struct entry entry = {0};
  int status = 0, found;
  at = journal_first_frame(len);
  while (status == 0 && (found = journal_read_frame(map, &at, &entry.frame)) != 0) {
    damaged += found < 0;
    if (found > 0) status = add(j, &entry, err);
  }
  if (damaged > 0)
    tpo_log(TPO_LOG_WARN, "%s: %zu entries are damaged and left out; that work is done again", path, damaged);
  return status;
}

static bool is_named(const char *name)
{
  static const char suffix[] = ".journal";
  size_t len = strlen(name), n = sizeof suffix - 1;
  while (len > 1 && name[len - 1] == '/') len--;
  return len > n && strncmp(name + len - n, suffix, n) == 0;
}

static int is_ours(const struct dirent *entry)
{
  return is_named(entry->d_name);
}

static int read_files(struct journal *j, struct dirent **names, int n, struct tpo_error *err)
{
  char path[4096];
  int status = 0;
  j->maps = tpo_calloc((size_t)n, sizeof *j->maps, err);
  if (!j->maps) return TPO_E_MEMORY;
  for (int i = 0; i < n && status == 0; i++) {
    status = tpo_path_join(path, sizeof path, j->folder, names[i]->d_name, err);
    if (status < 0 || !tpo_is_regular(path)) continue;
    struct tpo_map *map = &j->maps[j->n_maps++];
    status = tpo_map_open(map, path, err);
    if (status == 0) status = read_map(j, map, path, err);
  }
  return status;
}

static void free_names(struct dirent **names, int n)
{
  for (int i = 0; i < n; i++) free(names[i]);
  free(names);
}

static int read_folder(struct journal *j, struct tpo_error *err)
{
  struct dirent **names;
  int n = scandir(j->folder, &names, is_ours, alphasort);
  if (n < 0) return tpo_fail(err, TPO_E_IO, "%s: the folder can't be read: %s", j->folder, strerror(errno));
  int status = read_files(j, names, n, err);
  free_names(names, n);
  return status;
}

int journal_refuse_link(const char *folder, struct tpo_error *err)
{
  struct stat info;
  char path[4096];
  size_t len = strlen(folder);
  while (len > 1 && folder[len - 1] == '/') len--; /* which would follow it */
  if (len >= sizeof path) return tpo_fail(err, TPO_E_USAGE, "%.100s...: the path is too long", folder);
  memcpy(path, folder, len);
  path[len] = '\0';
  if (lstat(path, &info) < 0 || !S_ISLNK(info.st_mode)) return 0;
  return tpo_fail(
      err, TPO_E_USAGE,
      "%s: a link, which is not followed, since files are removed there: a folder is expected, or "
      "nothing of this name",
      path);
}

int journal_open(struct journal **out, const char *folder, const char *work, int rank, enum journal_use use,
                 struct tpo_error *err)
{
  *out = NULL;
  struct journal *j = tpo_calloc(1, sizeof *j, err);
  if (!j) return TPO_E_MEMORY;
  *j = (struct journal){.folder = strdup(folder), .work = strdup(work), .rank = rank, .fd = -1};
  int status = j->folder && j->work ? journal_refuse_link(folder, err)
                                    : tpo_fail(err, TPO_E_MEMORY, "no memory for a journal");
  if (status == 0) status = tpo_make_dirs(folder, err);
  if (status == 0) status = make_room(j, err);
  if (status == 0 && use == JOURNAL_READ) status = read_folder(j, err);
  if (status == 0)
    *out = j;
  else
    journal_close(j);
  return status;
}

void journal_close(struct journal *j)
{
  if (!j) return;
  for (size_t i = 0; i < j->n_maps; i++) tpo_map_close(&j->maps[i]);
  for (size_t i = 0; i < j->n; i++) free(j->entries[i].own_key);
  if (j->fd >= 0) close(j->fd);
  tpo_buf_free(&j->own);
  free(j->maps);
  free(j->entries);
  free(j->table);
  free(j->folder);
  free(j->work);
  free(j);
}

size_t journal_size(const struct journal *j)
{
  return j->n;
}

/* A value of our own file, from the file. */
static int read_back(struct journal *j, const struct entry *entry, struct tpo_error *err)
{
  char chunk[1 << 16];
  tpo_buf_clear(&j->own);
  while (j->own.len < entry->frame.len) {
    size_t left = entry->frame.len - j->own.len;
    ssize_t n =
        pread(j->fd, chunk, left < sizeof chunk ? left : sizeof chunk, (off_t)(entry->offset + j->own.len));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0)
      return tpo_fail(err, TPO_E_IO, "%s: can't be read back: %s", j->path,
                      n < 0 ? strerror(errno) : "it is shorter than what was written");
    tpo_buf_append(&j->own, chunk, (size_t)n);
    if (j->own.failed) return tpo_fail(err, TPO_E_MEMORY, "no memory for an entry of %s", j->path);
  }
  return 0;
}

static int piece_of(struct journal *j, const struct entry *entry, struct journal_piece *piece,
                    struct tpo_error *err)
{
  struct journal_frame frame = entry->frame;
  if (entry->own_key) {
    int status = read_back(j, entry, err);
    if (status < 0) return status;
    frame.key = (const uint8_t *)entry->own_key;
    frame.value = (const uint8_t *)j->own.data;
  }
  /* Short ones of the folder were checked when it was read. */
  if ((entry->own_key || frame.len > JOURNAL_CHECKED_LATE) && !journal_frame_is_whole(&frame))
    return tpo_fail(err, TPO_E_INPUT, "%s: an entry of %zu bytes is damaged", j->folder, frame.len);
  *piece = (struct journal_piece){frame.value, frame.len};
  return 1;
}

int journal_find(struct journal *j, const void *key, size_t n_key, struct journal_piece *piece,
                 struct tpo_error *err)
{
  size_t number = *place_of(j, key, n_key);
  return number ? piece_of(j, &j->entries[number - 1], piece, err) : 0;
}

int journal_each(struct journal *j, journal_take *take, void *arg, struct tpo_error *err)
{
  struct journal_piece piece;
  int status = 0;
  for (size_t i = 0; i < j->n && status >= 0; i++) {
    const struct entry *entry = &j->entries[i];
    if (entry->own_key) continue;
    status = piece_of(j, entry, &piece, err);
    if (status > 0) status = take(arg, entry->frame.key, entry->frame.n_key, piece, err);
  }
  return status < 0 ? status : 0;
}

/* All of it, or the file is as it was before. */
static int write_bytes(struct journal *j, const struct tpo_buf *bytes, struct tpo_error *err)
{
  if (tpo_write_all(j->fd, bytes->data, bytes->len) < 0) {
    int why = errno;
    bool undone = ftruncate(j->fd, (off_t)j->size) == 0;
    return tpo_fail(err, TPO_E_IO, "%s: %zu bytes can't be written: %s%s", j->path, bytes->len, strerror(why),
                    undone ? "" : "; its end is damaged");
  }
  j->size += bytes->len;
  return 0;
}

static int create_file(struct journal *j, struct tpo_error *err)
{
  char name[64];
  unsigned long long number;
  if (getrandom(&number, sizeof number, 0) != sizeof number)
    return tpo_fail(err, TPO_E_IO, "%s: no random number for a file's name: %s", j->folder, strerror(errno));
  snprintf(name, sizeof name, "%06d-%016llx.journal", j->rank, number);
  int status = tpo_path_join(j->path, sizeof j->path, j->folder, name, err);
  if (status < 0) return status;
  j->fd = open(j->path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_APPEND | O_CLOEXEC, 0666);
  if (j->fd < 0) return tpo_fail(err, TPO_E_IO, "%s: can't be made: %s", j->path, strerror(errno));
  j->synced = tpo_seconds();
  return 0;
}

/* Without its first entry the file would tell of work of which nothing is kept. */
static void drop_file(struct journal *j)
{
  close(j->fd);
  unlink(j->path);
  j->fd = -1;
}

static int remember(struct journal *j, const void *key, size_t n_key, size_t len, uint64_t hash,
                    struct tpo_error *err)
{
  struct entry entry = {.frame = {.n_key = n_key, .len = len, .hash = hash}, .offset = j->size - len};
  entry.own_key = tpo_calloc(n_key, 1, err);
  if (!entry.own_key) return TPO_E_MEMORY;
  memcpy(entry.own_key, key, n_key);
  return add(j, &entry, err);
}

int journal_append(struct journal *j, const void *key, size_t n_key, const void *value, size_t len,
                   struct tpo_error *err)
{
  struct tpo_buf bytes = {0};
  int status = n_key >= 1 && n_key <= JOURNAL_LONGEST_KEY
                   ? 0
                   : tpo_fail(err, TPO_E_INPUT, "%s: a key of %zu bytes; 1 to %d are expected", j->folder,
                              n_key, JOURNAL_LONGEST_KEY);
  if (status == 0 && j->fd < 0) status = create_file(j, err);
  if (status < 0) return status;
  if (j->size == 0) journal_put_head(&bytes, j->work);
  uint64_t hash = journal_put_frame(&bytes, key, n_key, value, len);
  if (bytes.failed) status = tpo_fail(err, TPO_E_MEMORY, "no memory for an entry of %s", j->path);
  if (status == 0) status = write_bytes(j, &bytes, err);
  if (status < 0 && j->size == 0) drop_file(j);
  if (status == 0) status = remember(j, key, n_key, len, hash, err);
  tpo_buf_free(&bytes);
  return status == 0 && tpo_seconds() - j->synced > JOURNAL_SYNC_SECONDS ? journal_sync(j, err) : status;
}

int journal_sync(struct journal *j, struct tpo_error *err)
{
  if (j->fd < 0) return 0;
  j->synced = tpo_seconds();
  if (fdatasync(j->fd) == 0) return 0;
  return tpo_fail(err, TPO_E_IO, "%s: can't be brought to disk: %s", j->path, strerror(errno));
}

/* Of one file; false: it has no whole head. */
static bool begin_of_file(const char *path, char *out, size_t size)
{
  struct tpo_map map;
  const char *work;
  size_t len;
  if (!tpo_is_regular(path) || tpo_map_open(&map, path, NULL) < 0) return false;
  bool found = journal_read_head(&map, &work, &len);
  if (found) {
    const char *end = memchr(work, '\n', len);
    snprintf(out, size, "%.*s", (int)(end ? end - work : 0), work);
  }
  tpo_map_close(&map);
  return found;
}

void journal_begin_of_work(const char *folder, char *out, size_t size)
{
  struct dirent **names;
  char path[4096];
  int n = scandir(folder, &names, is_ours, alphasort);
  bool found = false;
  *out = '\0';
  for (int i = 0; i < n && !found; i++)
    found = tpo_path_join(path, sizeof path, folder, names[i]->d_name, NULL) == 0 &&
            begin_of_file(path, out, size);
  if (n >= 0) free_names(names, n);
}

bool journal_exists(const char *folder)
{
  struct dirent **names;
  int n = scandir(folder, &names, is_ours, NULL);
  if (n < 0) return false;
  free_names(names, n);
  return n > 0;
}

int journal_lock(const char *folder, int *fd, struct tpo_error *err)
{
  *fd = open(folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (*fd < 0 || flock(*fd, LOCK_EX | LOCK_NB) == 0) return 0;
  bool is_taken = errno == EWOULDBLOCK;
  close(*fd);
  *fd = -1;
  if (!is_taken) return 0;
  return tpo_fail(err, TPO_E_USAGE, "%s: another process is at work with it; wait until that has ended",
                  folder);
}

int journal_refuse(const char *path, struct tpo_error *err)
{
  bool is_one = tpo_is_dir(path) && (is_named(path) || journal_exists(path));
  struct tpo_map map;
  if (tpo_is_regular(path) && tpo_map_open(&map, path, NULL) == 0) {
    const char *work;
    size_t len;
    is_one = journal_read_head(&map, &work, &len);
    tpo_map_close(&map);
  }
  if (!is_one) return 0;
  return tpo_fail(err, TPO_E_USAGE,
                  "%s: a journal of unfinished work: the command that began it goes on with --resume", path);
}

int journal_remove(const char *folder, struct tpo_error *err)
{
  struct dirent **names;
  int status = journal_refuse_link(folder, err);
  if (status < 0) return status;
  int n = scandir(folder, &names, is_ours, NULL);
  if (n < 0 && errno == ENOENT) return 0;
  int dir = n < 0 ? -1 : open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  for (int i = 0; dir >= 0 && i < n && status == 0; i++) status = unlinkat(dir, names[i]->d_name, 0);
  if (dir < 0 || status < 0)
    status = tpo_fail(err, TPO_E_IO, "%s: can't be removed: %s", folder, strerror(errno));
  if (dir >= 0) close(dir);
  if (n >= 0) free_names(names, n);
  if (status == 0) rmdir(folder); /* unless someone else keeps something there */
  return status;
}
