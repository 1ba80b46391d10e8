/* Nothing in a file is trusted: types and shapes must be those that this program writes, all data must lie in
 * the file itself (no external files, virtual data sets or soft links), and no more is allocated than what is
 * stored there can hold. How it is stored may be another program's choice (storage.c). */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "store/hdf5/storage.h"
#include "store/journal/journal.h"
#include "store/show.h"

static const char signature[8] = "\x89HDF\r\n\x1a\n";

int tpo_h5_fail_read(const struct tpo_h5_reader *r, const char *what, struct tpo_error *err)
{
  int reason = tpo_h5_disk_error(r->disk);
  if (!reason) return tpo_h5_fail(err, TPO_E_INPUT, r->path, what);
  H5Eclear2(H5E_DEFAULT);
  return tpo_fail(err, TPO_E_IO, "%s: reading failed: %s", r->path, strerror(reason));
}

/* What the library would tell in many words. */
static int check_signature(struct tpo_h5_reader *r, int fd, const char *path, struct tpo_error *err)
{
  char start[8] = {0};
  struct stat info;
  bool is_regular = fstat(fd, &info) == 0 && S_ISREG(info.st_mode);
  ssize_t got = is_regular ? pread(fd, start, sizeof start, 0) : 0;
  if (got < 0) return tpo_fail(err, TPO_E_IO, "%s: reading failed: %s", path, strerror(errno));
  bool is_hdf5 = is_regular && got == sizeof start && memcmp(start, signature, sizeof start) == 0;
  if (!is_hdf5 && journal_refuse(path, err) < 0) return TPO_E_USAGE;
  if (!is_regular) return tpo_fail(err, TPO_E_USAGE, "%s: expected a regular file", path);
  if (!is_hdf5) return tpo_fail(err, TPO_E_INPUT, "%s: not an HDF5 file", path);
  r->size = (uint64_t)info.st_size;
  return 0;
}

/* The file's descriptor, which the reader's disk takes, once it looks like HDF5. */
static int open_disk(struct tpo_h5_reader *r, const char *path, struct tpo_error *err)
{
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return tpo_fail(err, TPO_E_USAGE, "%s: can't be opened: %s", path, strerror(errno));
  int status = check_signature(r, fd, path, err);
  if (status < 0) {
    close(fd);
    return status;
  }
  r->disk = tpo_h5_disk_open(fd);
  return r->disk ? 0 : tpo_fail(err, TPO_E_MEMORY, "%s: out of memory", path);
}

static bool is_known_format(const char *format)
{
  return strcmp(format, "samples") == 0 || strcmp(format, "scored") == 0 || strcmp(format, "pairs") == 0 ||
         strcmp(format, "checkpoint") == 0;
}

static int check_format(struct tpo_h5_reader *r, const char *expected, struct tpo_error *err)
{
  char *format = NULL;
  int status = tpo_h5_get_attribute(r, "/", "tpo_format", &format, err);
  if (status < 0) return status;
  if (status == 0 || !is_known_format(format))
    status = tpo_fail(err, TPO_E_INPUT,
                      "%s: not a file of this program: its attribute tpo_format is %s, expected samples, "
                      "scored, pairs or checkpoint",
                      r->path, status == 0 ? "absent" : tpo_show_name(format, strlen(format)).text);
  else if (expected && strcmp(format, expected) != 0)
    status = tpo_fail(err, TPO_E_INPUT, "%s: holds %s, expected %s", r->path, format, expected);
  else
    snprintf(r->format, sizeof r->format, "%s", format);
  free(format);
  return status < 0 ? status : 0;
}

int tpo_h5_open(struct tpo_h5_reader *r, const char *path, const char *expected, struct tpo_error *err)
{
  tpo_h5_quiet();
  *r = (struct tpo_h5_reader){.id = H5I_INVALID_HID};
  int status = open_disk(r, path, err);
  if (status == 0 && !(r->path = strdup(path)))
    status = tpo_fail(err, TPO_E_MEMORY, "%s: out of memory", path);
  if (status < 0) {
    tpo_h5_reader_close(r);
    return status;
  }
  hid_t access = H5Pcreate(H5P_FILE_ACCESS);
  if (access >= 0 && H5Pset_fclose_degree(access, H5F_CLOSE_STRONG) >= 0 && tpo_h5_disk_use(r->disk, access))
    r->id = H5Fopen(path, H5F_ACC_RDONLY, access);
  H5Pclose(access);
  if (r->id < 0)
    status = tpo_h5_fail_read(r, "can't be opened as HDF5; it is truncated or damaged", err);
  else
    status = tpo_h5_find_texts(r, err);
  if (status == 0) status = check_format(r, expected, err);
  if (status < 0) tpo_h5_reader_close(r);
  return status;
}

void tpo_h5_reader_close(struct tpo_h5_reader *r)
{
  if (r->id > 0) H5Fclose(r->id);
  H5Eclear2(H5E_DEFAULT);
  tpo_h5_forget_texts(r);
  tpo_h5_disk_close(r->disk);
  free(r->path);
  *r = (struct tpo_h5_reader){.id = H5I_INVALID_HID};
}

/* Every step of name is a hard link. 1, or 0 when one is absent. */
static int check_links(const struct tpo_h5_reader *r, const char *name, struct tpo_error *err)
{
  char path[2048];
  size_t len = strlen(name);
  if (len >= sizeof path) return tpo_h5_bad_dataset(r, name, "has too long a name", err);
  for (size_t i = 1; i <= len; i++) {
    if (name[i] != '/' && name[i] != '\0') continue;
    memcpy(path, name, i);
    path[i] = '\0';
    H5L_info_t info;
    htri_t exists = H5Lexists(r->id, path, H5P_DEFAULT);
    if (exists == 0) return 0;
    if (exists < 0 || H5Lget_info(r->id, path, &info, H5P_DEFAULT) < 0)
      return tpo_h5_bad_dataset(r, path, "can't be looked up", err);
    if (info.type != H5L_TYPE_HARD)
      return tpo_h5_bad_dataset(r, path, "is a soft or external link, expected data", err);
  }
  return 1;
}

static enum tpo_h5_type type_of(hid_t dataset)
{
  hid_t type = H5Dget_type(dataset);
  enum tpo_h5_type found = TPO_H5_OTHER;
  if (type >= 0 && H5Tget_class(type) == H5T_STRING) {
    found = TPO_H5_TEXT;
  } else if (type >= 0) {
    for (int i = TPO_H5_U8; i < TPO_H5_TEXT && found == TPO_H5_OTHER; i++) {
      hid_t known = tpo_h5_file_type((enum tpo_h5_type)i);
      if (H5Tequal(type, known) > 0) found = (enum tpo_h5_type)i;
      H5Tclose(known);
    }
  }
  H5Tclose(type);
  return found;
}

static bool read_shape(hid_t dataset, struct tpo_h5_shape *shape)
{
  hsize_t dims[H5S_MAX_RANK];
  hid_t space = H5Dget_space(dataset);
  H5S_class_t class = space >= 0 ? H5Sget_simple_extent_type(space) : H5S_NO_CLASS;
  int rank = class == H5S_SIMPLE ? H5Sget_simple_extent_dims(space, dims, NULL) : 0;
  bool is_valid = (class == H5S_SIMPLE || class == H5S_SCALAR) && rank >= 0 && rank <= TPO_H5_MAX_RANK;
  shape->rank = rank;
  shape->count = 1;
  for (int d = 0; is_valid && d < rank; d++) {
    shape->dims[d] = dims[d];
    is_valid = !__builtin_mul_overflow(shape->count, (uint64_t)dims[d], &shape->count);
  }
  H5Sclose(space);
  return is_valid;
}

/* Opens the dataset into *d: 1 (H5Dclose d->id), or 0 when it is absent. */
static int open_dataset(const struct tpo_h5_reader *r, const char *name, struct tpo_h5_dataset *d,
                        struct tpo_error *err)
{
  *d = (struct tpo_h5_dataset){.id = H5I_INVALID_HID, .name = name};
  int found = check_links(r, name, err);
  if (found <= 0) return found;
  d->id = H5Dopen2(r->id, name, H5P_DEFAULT);
  if (d->id < 0) return tpo_h5_bad_dataset(r, name, "can't be opened", err);
  int status = 0;
  d->shape.type = type_of(d->id);
  if (!read_shape(d->id, &d->shape))
    status = tpo_h5_bad_dataset(r, name, "has a shape that is not supported", err);
  else if (d->shape.type != TPO_H5_OTHER)
    status = tpo_h5_storage_read(r, d, err);
  if (status == 0) return 1;
  H5Dclose(d->id);
  d->id = H5I_INVALID_HID;
  return status;
}

int tpo_h5_shape(const struct tpo_h5_reader *r, const char *name, struct tpo_h5_shape *shape,
                 struct tpo_error *err)
{
  struct tpo_h5_dataset d;
  int found = open_dataset(r, name, &d, err);
  if (d.id >= 0) H5Dclose(d.id);
  *shape = d.shape;
  return found;
}

int tpo_h5_open_typed(const struct tpo_h5_reader *r, const char *name, enum tpo_h5_type type,
                      struct tpo_h5_dataset *d, struct tpo_error *err)
{
  int found = open_dataset(r, name, d, err);
  if (found < 0) return found;
  struct tpo_shown shown = tpo_show_name(name, strlen(name));
  if (found == 0) return tpo_fail(err, TPO_E_INPUT, "%s: has no dataset '%s'", r->path, shown.text);
  if (d->shape.type == type) return 0;
  H5Dclose(d->id);
  return tpo_fail(err, TPO_E_INPUT, "%s: dataset '%s' has type %s, expected %s", r->path, shown.text,
                  tpo_h5_type_name(d->shape.type), tpo_h5_type_name(type));
}

int tpo_h5_length(const struct tpo_h5_reader *r, const char *name, enum tpo_h5_type type, uint64_t *n,
                  struct tpo_error *err)
{
  struct tpo_h5_dataset d;
  int status = tpo_h5_open_typed(r, name, type, &d, err);
  if (status < 0) return status;
  H5Dclose(d.id);
  if (d.shape.rank != 1)
    return tpo_fail(err, TPO_E_INPUT, "%s: dataset '%s' has %d dimensions, expected 1", r->path, name,
                    d.shape.rank);
  *n = d.shape.count;
  return 0;
}

int tpo_h5_row_count(const struct tpo_h5_reader *r, const char *name, enum tpo_h5_type type, uint64_t *n,
                     struct tpo_error *err)
{
  int status = tpo_h5_length(r, name, type, n, err);
  if (status < 0 || *n <= r->size) return status;
  return tpo_fail(err, TPO_E_INPUT, "%s: dataset '%s' claims %llu rows in a file of %llu bytes", r->path,
                  name, (unsigned long long)*n, (unsigned long long)r->size);
}

int tpo_h5_wrong_count(const struct tpo_h5_reader *r, const char *name, uint64_t found, uint64_t expected,
                       struct tpo_error *err)
{
  return tpo_fail(err, TPO_E_INPUT, "%s: dataset '%s' has %llu elements, expected %llu", r->path,
                  tpo_show_name(name, strlen(name)).text, (unsigned long long)found,
                  (unsigned long long)expected);
}

int tpo_h5_get(const struct tpo_h5_reader *r, const char *name, enum tpo_h5_type type, uint64_t count,
               void *out, struct tpo_error *err)
{
  struct tpo_h5_dataset d;
  int status = tpo_h5_open_typed(r, name, type, &d, err);
  if (status < 0) return status;
  status = d.shape.count == count ? tpo_h5_storage_get(r, &d, out, err)
                                  : tpo_h5_wrong_count(r, name, d.shape.count, count, err);
  H5Dclose(d.id);
  return status;
}

int tpo_h5_get_bytes(const struct tpo_h5_reader *r, const char *name,
                     int (*fn)(void *arg, uint64_t first, uint64_t n, const uint8_t *bytes,
                               struct tpo_error *err),
                     void *arg, struct tpo_error *err)
{
  struct tpo_h5_dataset d;
  int found = open_dataset(r, name, &d, err);
  if (found <= 0) return found;
  int status = tpo_h5_storage_whole(r, &d, fn, arg, err);
  H5Dclose(d.id);
  return status;
}

struct each {
  const struct tpo_h5_reader *r;
  int (*fn)(void *arg, const char *name, bool is_group, struct tpo_error *err);
  void *arg;
  struct tpo_error *err;
  int status;
};

static herr_t each_link(hid_t group, const char *name, const H5L_info_t *link, void *arg)
{
  struct each *each = arg;
  H5O_info_t object;
  if (link->type != H5L_TYPE_HARD)
    each->status = tpo_h5_bad_dataset(each->r, name, "is a soft or external link, expected data", each->err);
  else if (H5Oget_info_by_name2(group, name, &object, H5O_INFO_BASIC, H5P_DEFAULT) < 0)
    each->status = tpo_h5_bad_dataset(each->r, name, "can't be looked up", each->err);
  else
    each->status = each->fn(each->arg, name, object.type == H5O_TYPE_GROUP, each->err);
  return each->status < 0 ? -1 : 0;
}

int tpo_h5_each(const struct tpo_h5_reader *r, const char *group,
                int (*fn)(void *arg, const char *name, bool is_group, struct tpo_error *err), void *arg,
                struct tpo_error *err)
{
  struct each each = {.r = r, .fn = fn, .arg = arg, .err = err};
  int found = strcmp(group, "/") == 0 ? 1 : check_links(r, group, err);
  if (found <= 0) return found;
  hid_t id = H5Gopen2(r->id, group, H5P_DEFAULT);
  if (id < 0) return tpo_h5_bad_dataset(r, group, "can't be opened as a group", err);
  hsize_t at = 0;
  herr_t result = H5Literate(id, H5_INDEX_NAME, H5_ITER_INC, &at, each_link, &each);
  H5Gclose(id);
  H5Eclear2(H5E_DEFAULT);
  if (each.status < 0) return each.status;
  return result < 0 ? tpo_h5_bad_dataset(r, group, "can't be listed", err) : 0;
}
