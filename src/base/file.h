/* Files: mapped input, line readers (plain or gzip), and atomic output
 * (temporary name, fsync, rename, fsync of the folder). */
#ifndef TPO_BASE_FILE_H
#define TPO_BASE_FILE_H

#include "tpo/base.h"
#include "base/buf.h"

struct tpo_map {
  const uint8_t *data; /* read-only; NULL for an empty file */
  size_t size;         /* bytes */
};
int tpo_map_open(struct tpo_map *map, const char *path, struct tpo_error *err);
void tpo_map_close(struct tpo_map *map);

/* The whole file ("-": standard input), plain or gzip, appended to buf; more than max_bytes is an error. */
int tpo_read_file(const char *path, size_t max_bytes, struct tpo_buf *buf, struct tpo_error *err);

/* Lines of a plain or gzip file ("-": standard input). A line may hold NUL bytes; its newline (and a CR
 * before it) is removed. next returns 1 with a line, 0 at the end, negative on error (also a line over 64
 * MiB). */
struct tpo_lines {
  void *gz;
  const char *path; /* borrowed */
  struct tpo_buf line;
  uint64_t number; /* of the line last returned, from 1 */
};
int tpo_lines_open(struct tpo_lines *lines, const char *path, struct tpo_error *err);
int tpo_lines_next(struct tpo_lines *lines, struct tpo_error *err);
/* Bytes that are next to be read, up to 64 KiB, without taking them; *n is 0 at the end. Borrowed until the
 * next call. */
int tpo_lines_peek(struct tpo_lines *lines, const char **bytes, size_t *n, struct tpo_error *err);
void tpo_lines_close(struct tpo_lines *lines);
/* What becomes of a row that is refused with err: 0 after a warning with its message, and err cleared, where
 * fewer than `allowed` rows were (*skipped counts them); otherwise status, and err says that it is one more
 * than allowed. Errors that aren't the row's (memory, reading) stay errors. */
int tpo_lines_skip_bad(int status, int allowed, int *skipped, struct tpo_error *err);

/* A file being written under "<path>.tmp.<16 random hex digits>", which is made here and was not there
 * before. Write to it, then commit (fsync, rename over path, fsync the folder) or abort (remove). */
struct tpo_atomic {
  char path[4096];
  char temp_path[4160]; /* for libraries that open by name */
};
int tpo_atomic_begin(struct tpo_atomic *file, const char *path, struct tpo_error *err);
/* A descriptor for writing the file, and reading it again, which is empty then; -1 with errno set. The caller
 * closes it. */
int tpo_atomic_open(const struct tpo_atomic *file);
int tpo_atomic_commit(struct tpo_atomic *file, struct tpo_error *err);
void tpo_atomic_abort(struct tpo_atomic *file);
/* Error (usage) unless a file of this name can be written, found out
 * before the work that makes its content. */
int tpo_check_output(const char *path, struct tpo_error *err);
/* Whether both names lead to one file or folder, also one that is not there yet. */
bool tpo_same_file(const char *a, const char *b);
/* All bytes to fd; -1 with errno set. */
int tpo_write_all(int fd, const void *bytes, size_t len);
/* Brings to disk what stands in a folder; -1 with errno set. */
int tpo_sync_folder(const char *path);
/* All in one: bytes become the file, or nothing changes. */
int tpo_write_file(const char *path, const void *bytes, size_t len, struct tpo_error *err);

int tpo_make_dirs(const char *path, struct tpo_error *err); /* like mkdir -p */
/* 1: something of this name is there; 0: nothing is; negative (usage), with err: nobody can tell, since a
 * folder on the way may not be looked into, say. */
int tpo_look_for(const char *path, struct tpo_error *err);
bool tpo_file_exists(const char *path); /* false too where nobody can tell */
bool tpo_is_dir(const char *path);
bool tpo_is_regular(const char *path); /* or a link to such a file */
/* "dir/name" into out[size]; error when it does not fit. */
int tpo_path_join(char *out, size_t size, const char *dir, const char *name, struct tpo_error *err);
/* Error unless the file system of `path` (or of its nearest existing parent) has `bytes` free. */
int tpo_check_space(const char *path, uint64_t bytes, struct tpo_error *err);

#endif
