/* Writes an HDF5 file under a temporary name, with room reserved before each write. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/hash.h"
#include "base/utf8.h"
#include "store/hdf5/h5.h"

/* Bytes kept free past the data, for what HDF5 writes when the file is closed. */
enum { SLACK_BYTES = 1 << 20, MEMBERS_IN_TABLE = 65535 /* the most that HDF5 allows */ };

/* The disk's reason where it has one; the library's else. */
static int fail_to_write(const struct tpo_h5_writer *w, const char *what, struct tpo_error *err)
{
  int reason = tpo_h5_disk_error(w->disk);
  if (!reason) return tpo_h5_fail(err, TPO_E_IO, w->file.path, what);
  H5Eclear2(H5E_DEFAULT);
  return tpo_fail(err, TPO_E_IO, "%s: %s: %s", w->file.path, what, strerror(reason));
}

/* Makes sure of room for `bytes` more before HDF5 is asked to write them: a full disk is told with what is
 * missing. */
static int reserve(struct tpo_h5_writer *w, uint64_t bytes, struct tpo_error *err)
{
  hsize_t size = 0;
  struct rlimit limit;
  if (H5Fget_filesize(w->id, &size) < 0) return fail_to_write(w, "can't be written", err);
  uint64_t needed = bytes + SLACK_BYTES, end = size + needed;
  if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY && end > limit.rlim_cur)
    return tpo_fail(err, TPO_E_IO,
                    "%s: can't be written: it needs %llu bytes, this process may write files of %llu",
                    w->file.path, (unsigned long long)end, (unsigned long long)limit.rlim_cur);
  if (fallocate(tpo_h5_disk_fd(w->disk), FALLOC_FL_KEEP_SIZE, (off_t)size, (off_t)needed) == 0) return 0;
  if (errno == EOPNOTSUPP || errno == ENOSYS) return tpo_check_space(w->file.path, needed, err);
  return tpo_fail(err, TPO_E_IO, "%s: can't be written: no room for %llu more bytes: %s", w->file.path,
                  (unsigned long long)needed, strerror(errno));
}

static hid_t create_file(const struct tpo_h5_writer *w)
{
  hid_t access = H5Pcreate(H5P_FILE_ACCESS), creation = H5Pcreate(H5P_FILE_CREATE), id = H5I_INVALID_HID;
  /* Version 1.8's format has checksums on its tables, but not on the heap that a group of many members is
   * moved to: HDF5 crashes on one that is damaged, so members stay in the table, here and in groups below. */
  if (access >= 0 && creation >= 0 && H5Pset_fclose_degree(access, H5F_CLOSE_STRONG) >= 0 &&
      H5Pset_libver_bounds(access, H5F_LIBVER_V18, H5F_LIBVER_V18) >= 0 &&
      H5Pset_obj_track_times(creation, 0) >= 0 &&
      H5Pset_link_phase_change(creation, MEMBERS_IN_TABLE, 0) >= 0 && tpo_h5_disk_use(w->disk, access))
    id = H5Fcreate(w->file.temp_path, H5F_ACC_TRUNC, creation, access);
  H5Pclose(access);
  H5Pclose(creation);
  return id;
}

/* The temporary file, open in the library; *w is as it was zeroed where that fails before there is one. */
static int begin_file(struct tpo_h5_writer *w, const char *path, struct tpo_error *err)
{
  int status = tpo_check_space(path, SLACK_BYTES, err);
  if (status == 0) status = tpo_atomic_begin(&w->file, path, err);
  if (status < 0) return status;
  int fd = tpo_atomic_open(&w->file);
  if (fd < 0) return tpo_fail(err, TPO_E_IO, "%s: can't be created: %s", path, strerror(errno));
  w->disk = tpo_h5_disk_open(fd);
  if (!w->disk) return tpo_fail(err, TPO_E_MEMORY, "%s: out of memory", path);
  w->id = create_file(w);
  return w->id < 0 ? fail_to_write(w, "can't be created", err) : 0;
}

int tpo_h5_create(struct tpo_h5_writer *w, const char *path, const char *format, const char *config,
                  struct tpo_error *err)
{
  char created[32];
  tpo_h5_quiet();
  w->id = H5I_INVALID_HID;
  tpo_timestamp(created);
  int status = begin_file(w, path, err);
  if (status == 0) status = reserve(w, config ? strlen(config) : 0, err);
  if (status == 0) status = tpo_h5_put_attribute(w, "/", "tpo_format", format, err);
  if (status == 0) status = tpo_h5_put_attribute(w, "/", "tpo_version", tpo_version(), err);
  if (status == 0) status = tpo_h5_put_attribute(w, "/", "created", created, err);
  if (status == 0) status = tpo_h5_put_attribute(w, "/", "config", config ? config : "", err);
  if (status < 0) tpo_h5_writer_close(w);
  return status;
}

/* Copy of text in which each byte that is not UTF-8 is U+FFFD; NULL when memory is short. */
static char *replace_malformed(struct tpo_arena *arena, const char *text)
{
  size_t len = strlen(text), used = 0;
  char *out = tpo_arena_alloc(arena, 3 * len + 1);
  for (size_t at = 0; out && at < len;)
    used += (size_t)tpo_utf8_encode(tpo_utf8_next(text, len, &at), out + used);
  return out;
}

/* *out: valid UTF-8, text itself where it is. */
static int make_valid(struct tpo_arena *arena, const char *text, const char **out, struct tpo_error *err)
{
  *out = text ? text : "";
  if (tpo_utf8_valid(*out, strlen(*out), NULL)) return 0;
  *out = replace_malformed(arena, text);
  return *out ? 0 : tpo_fail(err, TPO_E_MEMORY, "out of memory for a text of %zu bytes", strlen(text));
}

/* The groups above a data set. Made here because those that the library makes on the way carry the time of
 * day, and equal contents are to give equal bytes. */
static bool make_groups(const struct tpo_h5_writer *w, const char *name)
{
  char group[300];
  bool is_made = true;
  for (const char *slash = strchr(name, '/'); slash && is_made; slash = strchr(slash + 1, '/')) {
    size_t len = (size_t)(slash - name);
    if (len == 0) continue;
    if (len >= sizeof group) return false;
    memcpy(group, name, len);
    group[len] = '\0';
    htri_t is_there = H5Lexists(w->id, group, H5P_DEFAULT);
    if (is_there > 0) continue;
    hid_t creation = H5Pcreate(H5P_GROUP_CREATE), id = H5I_INVALID_HID;
    if (is_there == 0 && H5Pset_obj_track_times(creation, 0) >= 0)
      id = H5Gcreate2(w->id, group, H5P_DEFAULT, creation, H5P_DEFAULT);
    H5Pclose(creation);
    is_made = id >= 0 && H5Gclose(id) >= 0;
  }
  return is_made;
}

static hid_t create_dataset(const struct tpo_h5_writer *w, const char *name, const struct tpo_h5_shape *shape)
{
  hsize_t dims[TPO_H5_MAX_RANK];
  for (int d = 0; d < shape->rank; d++) dims[d] = shape->dims[d];
  hid_t type = tpo_h5_file_type(shape->type);
  hid_t space = shape->rank == 0 ? H5Screate(H5S_SCALAR) : H5Screate_simple(shape->rank, dims, NULL);
  hid_t creation = H5Pcreate(H5P_DATASET_CREATE), id = H5I_INVALID_HID;
  bool is_ready = type >= 0 && space >= 0 && make_groups(w, name) && H5Pset_obj_track_times(creation, 0) >= 0;
  /* All of it is written at once, so nothing need be filled first; texts must have a fill value. */
  if (is_ready && shape->type != TPO_H5_TEXT) is_ready = H5Pset_fill_time(creation, H5D_FILL_TIME_NEVER) >= 0;
  if (is_ready) id = H5Dcreate2(w->id, name, type, space, H5P_DEFAULT, creation, H5P_DEFAULT);
  H5Pclose(creation);
  H5Sclose(space);
  H5Tclose(type);
  return id;
}

static int write_dataset(struct tpo_h5_writer *w, const char *name, const struct tpo_h5_shape *shape,
                         const void *data, struct tpo_error *err)
{
  hid_t dataset = create_dataset(w, name, shape);
  bool is_written = dataset >= 0;
  if (is_written && shape->count > 0) {
    hid_t type = tpo_h5_memory_type(shape->type);
    is_written = H5Dwrite(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) >= 0;
    H5Tclose(type);
  }
  if (dataset >= 0 && H5Dclose(dataset) < 0) is_written = false;
  if (is_written && !tpo_h5_disk_error(w->disk)) return 0;
  char what[300];
  snprintf(what, sizeof what, "dataset '%.200s' can't be written", name);
  return fail_to_write(w, what, err);
}

static int add_digest(struct tpo_h5_writer *w, const char *name, struct tpo_hash *hash, struct tpo_error *err)
{
  struct tpo_h5_digest digest;
  tpo_hash_end(hash, digest.hex);
  if (tpo_grow(&w->digests, &w->capacity, w->n_digests + 1, sizeof *w->digests, err) < 0) return TPO_E_MEMORY;
  digest.name = strdup(name);
  if (!digest.name) return tpo_fail(err, TPO_E_MEMORY, "%s: out of memory", w->file.path);
  w->digests[w->n_digests++] = digest;
  return 0;
}

static int put_texts(struct tpo_h5_writer *w, const char *name, const struct tpo_h5_shape *shape,
                     const char *const *texts, struct tpo_error *err)
{
  struct tpo_arena arena = {0};
  struct tpo_hash hash;
  uint64_t bytes = 0;
  const char **valid = tpo_calloc(shape->count, sizeof *valid, err);
  int status = valid ? tpo_h5_digest_begin(&hash, name, shape, err) : TPO_E_MEMORY;
  if (status < 0) {
    free(valid);
    return status;
  }
  for (uint64_t i = 0; i < shape->count && status == 0; i++) {
    status = make_valid(&arena, texts[i], &valid[i], err);
    if (status < 0) break;
    size_t len = strlen(valid[i]);
    tpo_h5_digest_text(&hash, valid[i], len);
    bytes += len + 64; /* reference, heap object, rounding */
  }
  if (status == 0) status = reserve(w, bytes + bytes / 8, err); /* heaps of 4096 bytes have unused ends */
  if (status == 0) status = write_dataset(w, name, shape, valid, err);
  int added = add_digest(w, name, &hash, status == 0 ? err : NULL);
  tpo_arena_free(&arena);
  free(valid);
  return status < 0 ? status : added;
}

static int put_values(struct tpo_h5_writer *w, const char *name, const struct tpo_h5_shape *shape,
                      const void *data, struct tpo_error *err)
{
  struct tpo_hash hash;
  uint64_t bytes = shape->count * tpo_h5_type_size(shape->type);
  int status = reserve(w, bytes, err);
  if (status == 0) status = write_dataset(w, name, shape, data, err);
  if (status == 0) status = tpo_h5_digest_begin(&hash, name, shape, err);
  if (status < 0) return status;
  tpo_hash_add(&hash, data, bytes);
  return add_digest(w, name, &hash, err);
}

int tpo_h5_put(struct tpo_h5_writer *w, const char *name, enum tpo_h5_type type, int rank,
               const uint64_t *dims, const void *data, struct tpo_error *err)
{
  struct tpo_h5_shape shape = {.type = type, .rank = rank, .count = 1};
  uint64_t bytes;
  bool is_valid = rank >= 0 && rank <= TPO_H5_MAX_RANK && tpo_h5_type_size(type) > 0;
  for (int d = 0; is_valid && d < rank; d++) {
    shape.dims[d] = dims[d];
    is_valid = !__builtin_mul_overflow(shape.count, dims[d], &shape.count);
  }
  if (!is_valid || __builtin_mul_overflow(shape.count, tpo_h5_type_size(type), &bytes) ||
      bytes > INT64_MAX / 2)
    return tpo_fail(err, TPO_E_USAGE, "%s: dataset '%s' has a shape that can't be written", w->file.path,
                    name);
  return type == TPO_H5_TEXT ? put_texts(w, name, &shape, data, err) : put_values(w, name, &shape, data, err);
}

int tpo_h5_put_attribute(struct tpo_h5_writer *w, const char *name, const char *attribute, const char *text,
                         struct tpo_error *err)
{
  struct tpo_arena arena = {0};
  const char *valid = "";
  int status = make_valid(&arena, text, &valid, err);
  if (status == 0) status = reserve(w, strlen(valid) + 4096, err);
  if (status == 0) {
    hid_t type = tpo_h5_file_type(TPO_H5_TEXT), space = H5Screate(H5S_SCALAR);
    hid_t id = H5Acreate_by_name(w->id, name, attribute, type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    bool is_written = id >= 0 && H5Awrite(id, type, &valid) >= 0;
    if (id >= 0) H5Aclose(id);
    char what[100];
    snprintf(what, sizeof what, "attribute '%.60s' can't be written", attribute);
    if (!is_written || tpo_h5_disk_error(w->disk)) status = fail_to_write(w, what, err);
    H5Sclose(space);
    H5Tclose(type);
  }
  tpo_arena_free(&arena);
  return status;
}

/* Gives back the reserved room past the end, and the descriptor: a network's disk may tell only then that it
 * is full. */
static bool end_file(struct tpo_h5_writer *w)
{
  struct tpo_h5_disk *disk = w->disk;
  off_t size = lseek(tpo_h5_disk_fd(disk), 0, SEEK_END);
  if (size < 0 || ftruncate(tpo_h5_disk_fd(disk), size) < 0) return false;
  w->disk = NULL;
  return tpo_h5_disk_close(disk) == 0;
}

int tpo_h5_commit(struct tpo_h5_writer *w, struct tpo_error *err)
{
  char hex[33];
  int status = tpo_h5_digest_all(w->digests, w->n_digests, hex, err);
  if (status == 0) status = tpo_h5_put_attribute(w, "/", "content_hash", hex, err);
  if (status < 0) return status;
  hid_t id = w->id;
  w->id = H5I_INVALID_HID;
  if (H5Fclose(id) < 0 || tpo_h5_disk_error(w->disk)) return fail_to_write(w, "can't be written", err);
  if (!end_file(w)) return tpo_fail(err, TPO_E_IO, "%s: can't be written: %s", w->file.path, strerror(errno));
  return tpo_atomic_commit(&w->file, err);
}

void tpo_h5_writer_close(struct tpo_h5_writer *w)
{
  if (w->id > 0) {
    tpo_h5_disk_give_up(w->disk);
    H5Fclose(w->id);
  }
  H5Eclear2(H5E_DEFAULT);
  tpo_h5_disk_close(w->disk);
  tpo_atomic_abort(&w->file);
  for (size_t i = 0; i < w->n_digests; i++) free(w->digests[i].name);
  free(w->digests);
  *w = (struct tpo_h5_writer){.id = H5I_INVALID_HID};
}
