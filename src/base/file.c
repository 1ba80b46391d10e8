/* Input: mapped files, and lines of plain or gzip files and of standard input. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include "base/file.h"

enum { CHUNK_BYTES = 1 << 16, MAX_LINE_BYTES = 64 << 20 };

int tpo_map_open(struct tpo_map *map, const char *path, struct tpo_error *err)
{
  *map = (struct tpo_map){0};
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO must not block here */
  if (fd < 0) return tpo_fail(err, TPO_E_USAGE, "%s: can't be opened: %s", path, strerror(errno));
  struct stat info;
  int status = 0;
  if (fstat(fd, &info) < 0)
    status = tpo_fail(err, TPO_E_IO, "%s: can't be examined: %s", path, strerror(errno));
  else if (!S_ISREG(info.st_mode))
    status = tpo_fail(err, TPO_E_USAGE, "%s: expected a regular file, not a %s", path,
                      S_ISDIR(info.st_mode) ? "folder" : "device or pipe");
  else if (info.st_size > 0) {
    void *data = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (data == MAP_FAILED) {
      status = tpo_fail(err, TPO_E_IO, "%s: can't be mapped: %s", path, strerror(errno));
    } else {
      map->data = data;
      map->size = (size_t)info.st_size;
    }
  }
  close(fd);
  return status;
}

void tpo_map_close(struct tpo_map *map)
{
  if (map->data) munmap((void *)map->data, map->size);
  *map = (struct tpo_map){0};
}

/* A gzip file and what has been inflated of it; zlib passes plain files through. */
struct stream {
  gzFile gz;
  bool may_wait; /* a pipe or a terminal: signals end the process while it is open */
  size_t at, len;
  char chunk[CHUNK_BYTES];
};

static int stream_start(struct stream **out, const char *path, bool is_stdin, struct tpo_error *err)
{
  int fd = is_stdin ? dup(STDIN_FILENO) : open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0)
    return tpo_fail(err, TPO_E_USAGE, "%s: can't be opened: %s", is_stdin ? "standard input" : path,
                    strerror(errno));
  struct stat info;
  if (fstat(fd, &info) == 0 && S_ISDIR(info.st_mode)) {
    close(fd);
    return tpo_fail(err, TPO_E_USAGE, "%s: expected a file, not a folder", path);
  }
  struct stream *stream = malloc(sizeof *stream);
  gzFile gz = stream ? gzdopen(fd, "rb") : NULL;
  if (!gz) {
    close(fd);
    free(stream);
    return tpo_fail(err, TPO_E_MEMORY, "%s: out of memory for a reader", path);
  }
  gzbuffer(gz, CHUNK_BYTES);
  stream->gz = gz;
  stream->at = stream->len = 0;
  *out = stream;
  return 0;
}

static int stream_open(struct stream **out, const char *path, struct tpo_error *err)
{
  bool is_stdin = strcmp(path, "-") == 0;
  struct stat info;
  bool may_wait = (is_stdin ? fstat(STDIN_FILENO, &info) : stat(path, &info)) == 0 && !S_ISREG(info.st_mode);
  if (may_wait) tpo_interrupt_pause();
  int status = stream_start(out, path, is_stdin, err);
  if (status == 0)
    (*out)->may_wait = may_wait;
  else if (may_wait)
    tpo_interrupt_resume();
  return status;
}

static void stream_close(struct stream *stream)
{
  if (!stream) return;
  gzclose_r(stream->gz);
  if (stream->may_wait) tpo_interrupt_resume();
  free(stream);
}

/* Refills the chunk: 1, 0 at the end, negative on error. A gzip file that stops too early is an error. */
static int stream_fill(struct stream *stream, const char *path, struct tpo_error *err)
{
  if (strcmp(path, "-") == 0) path = "standard input";
  errno = 0;
  int got = gzread(stream->gz, stream->chunk, CHUNK_BYTES);
  int code = Z_OK;
  const char *what = gzerror(stream->gz, &code);
  if (code == Z_ERRNO) return tpo_fail(err, TPO_E_IO, "%s: reading failed: %s", path, strerror(errno));
  if (got < 0 || (code != Z_OK && code != Z_BUF_ERROR))
    return tpo_fail(err, TPO_E_INPUT, "%s: the gzip data is damaged: %s", path, what);
  if (code == Z_BUF_ERROR) return tpo_fail(err, TPO_E_INPUT, "%s: the gzip data ends too early", path);
  stream->at = 0;
  stream->len = (size_t)got;
  return got > 0;
}

int tpo_read_file(const char *path, size_t max_bytes, struct tpo_buf *buf, struct tpo_error *err)
{
  struct stream *stream;
  int status = stream_open(&stream, path, err);
  if (status < 0) return status;
  size_t total = 0;
  while ((status = stream_fill(stream, path, err)) > 0) {
    total += stream->len;
    if (total > max_bytes) {
      status = tpo_fail(err, TPO_E_INPUT, "%s: holds more than the %zu bytes that are allowed here", path,
                        max_bytes);
      break;
    }
    tpo_buf_append(buf, stream->chunk, stream->len);
  }
  stream_close(stream);
  if (status == 0) tpo_buf_append(buf, "", 0); /* data is not NULL for an empty file */
  if (status == 0 && buf->failed) return tpo_fail(err, TPO_E_MEMORY, "%s: out of memory while reading", path);
  return status;
}

int tpo_lines_open(struct tpo_lines *lines, const char *path, struct tpo_error *err)
{
  *lines = (struct tpo_lines){.path = path};
  struct stream *stream = NULL;
  int status = stream_open(&stream, path, err);
  lines->gz = stream;
  return status;
}

int tpo_lines_peek(struct tpo_lines *lines, const char **bytes, size_t *n, struct tpo_error *err)
{
  struct stream *stream = lines->gz;
  int status = stream->at == stream->len ? stream_fill(stream, lines->path, err) : 1;
  *bytes = stream->chunk + stream->at;
  *n = stream->len - stream->at;
  return status < 0 ? status : 0;
}

int tpo_lines_next(struct tpo_lines *lines, struct tpo_error *err)
{
  struct stream *stream = lines->gz;
  struct tpo_buf *line = &lines->line;
  tpo_buf_clear(line);
  bool any = false;
  for (;;) {
    if (stream->at == stream->len) {
      int status = stream_fill(stream, lines->path, err);
      if (status < 0) return status;
      if (status == 0) break;
    }
    any = true;
    const char *start = stream->chunk + stream->at;
    size_t rest = stream->len - stream->at;
    const char *newline = memchr(start, '\n', rest);
    size_t take = newline ? (size_t)(newline - start) : rest;
    if (line->len + take > MAX_LINE_BYTES)
      return tpo_fail(err, TPO_E_INPUT, "%s:%llu: the line is longer than %d MiB", lines->path,
                      (unsigned long long)lines->number + 1, MAX_LINE_BYTES >> 20);
    tpo_buf_append(line, start, take);
    stream->at += take + (newline != NULL);
    if (newline) break;
  }
  if (!any) return 0;
  if (line->failed) return tpo_fail(err, TPO_E_MEMORY, "%s: out of memory while reading", lines->path);
  if (line->len > 0 && line->data[line->len - 1] == '\r') line->data[--line->len] = '\0';
  lines->number++;
  return 1;
}

int tpo_lines_skip_bad(int status, int allowed, int *skipped, struct tpo_error *err)
{
  if (status == 0 || allowed == 0 || (status != TPO_E_INPUT && status != TPO_E_UNSUPPORTED)) return status;
  if (*skipped == allowed) return tpo_fail_prefix(err, "more bad rows than the %d that are allowed", allowed);
  ++*skipped;
  tpo_log(TPO_LOG_WARN, "%s; the row is left out (%d of %d allowed)", err->message, *skipped, allowed);
  *err = (struct tpo_error){0};
  return 0;
}

void tpo_lines_close(struct tpo_lines *lines)
{
  stream_close(lines->gz);
  tpo_buf_free(&lines->line);
  *lines = (struct tpo_lines){0};
}
