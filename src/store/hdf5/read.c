/* Nothing in a file is trusted: types and shapes must be those that this program writes, all data must lie in
 * the file itself (no filters, external files, virtual data sets or soft links), and no more is allocated
 * than the file is long. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/utf8.h"
#include "store/hdf5/h5.h"
#include "store/journal/journal.h"
#include "store/show.h"

enum { TEXT_BATCH = 64 }; /* texts read at a time */

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
    status = tpo_h5_check_heaps(r, err);
  if (status == 0) status = check_format(r, expected, err);
  if (status < 0) tpo_h5_reader_close(r);
  return status;
}

void tpo_h5_reader_close(struct tpo_h5_reader *r)
{
  if (r->id > 0) H5Fclose(r->id);
  H5Eclear2(H5E_DEFAULT);
  tpo_h5_disk_close(r->disk);
  free(r->path);
  *r = (struct tpo_h5_reader){.id = H5I_INVALID_HID};
}

static int bad_dataset(const struct tpo_h5_reader *r, const char *name, const char *what,
                       struct tpo_error *err)
{
  char text[400];
  snprintf(text, sizeof text, "dataset '%s' %s", tpo_show_name(name, strlen(name)).text, what);
  return tpo_h5_fail_read(r, text, err);
}

/* Every step of name is a hard link. 1, or 0 when one is absent. */
static int check_links(const struct tpo_h5_reader *r, const char *name, struct tpo_error *err)
{
  char path[2048];
  size_t len = strlen(name);
  if (len >= sizeof path) return bad_dataset(r, name, "has too long a name", err);
  for (size_t i = 1; i <= len; i++) {
    if (name[i] != '/' && name[i] != '\0') continue;
    memcpy(path, name, i);
    path[i] = '\0';
    H5L_info_t info;
    htri_t exists = H5Lexists(r->id, path, H5P_DEFAULT);
    if (exists == 0) return 0;
    if (exists < 0 || H5Lget_info(r->id, path, &info, H5P_DEFAULT) < 0)
      return bad_dataset(r, path, "can't be looked up", err);
    if (info.type != H5L_TYPE_HARD)
      return bad_dataset(r, path, "is a soft or external link, expected data", err);
  }
  return 1;
}

static enum tpo_h5_type type_of(hid_t dataset)
{
  hid_t type = H5Dget_type(dataset);
  enum tpo_h5_type found = TPO_H5_OTHER;
  if (type >= 0 && H5Tis_variable_str(type) > 0) {
    if (H5Tget_cset(type) == H5T_CSET_UTF8) found = TPO_H5_TEXT;
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

/* True when the elements lie in the file as they are, all of them. */
static bool is_stored_plainly(const struct tpo_h5_reader *r, hid_t dataset, const struct tpo_h5_shape *shape)
{
  hid_t creation = H5Dget_create_plist(dataset), type = H5Dget_type(dataset);
  H5D_layout_t layout = H5Pget_layout(creation);
  int n_external = H5Pget_external_count(creation);
  uint64_t element = H5Tget_size(type), stored = H5Dget_storage_size(dataset), bytes;
  if (shape->type == TPO_H5_TEXT) element = 16; /* a reference into the file's heap */
  H5Pclose(creation);
  H5Tclose(type);
  if (layout != H5D_CONTIGUOUS || n_external != 0) return false;
  return !__builtin_mul_overflow(shape->count, element, &bytes) && bytes == stored && bytes <= r->size;
}

/* Opens the dataset into *id and fills shape: 1, or 0 when it is absent. */
static int open_dataset(const struct tpo_h5_reader *r, const char *name, hid_t *id,
                        struct tpo_h5_shape *shape, struct tpo_error *err)
{
  *id = H5I_INVALID_HID;
  int found = check_links(r, name, err);
  if (found <= 0) return found;
  hid_t dataset = H5Dopen2(r->id, name, H5P_DEFAULT);
  if (dataset < 0) return bad_dataset(r, name, "can't be opened", err);
  int status = 1;
  shape->type = type_of(dataset);
  if (!read_shape(dataset, shape))
    status = bad_dataset(r, name, "has a shape that is not supported", err);
  else if (shape->type != TPO_H5_OTHER && !is_stored_plainly(r, dataset, shape))
    status = bad_dataset(
        r, name, "is not stored whole and plain in the file; it is damaged or of another program", err);
  if (status < 0)
    H5Dclose(dataset);
  else
    *id = dataset;
  return status;
}

int tpo_h5_shape(const struct tpo_h5_reader *r, const char *name, struct tpo_h5_shape *shape,
                 struct tpo_error *err)
{
  hid_t dataset;
  int found = open_dataset(r, name, &dataset, shape, err);
  if (dataset >= 0) H5Dclose(dataset);
  return found;
}

int tpo_h5_place(const struct tpo_h5_reader *r, const char *name, struct tpo_h5_shape *shape,
                 uint64_t *offset, struct tpo_error *err)
{
  hid_t dataset;
  int found = open_dataset(r, name, &dataset, shape, err);
  if (found <= 0) return found;
  haddr_t at = H5Dget_offset(dataset);
  H5Dclose(dataset);
  *offset = at;
  uint64_t bytes = shape->count * tpo_h5_type_size(shape->type);
  if (bytes > 0 && (at == HADDR_UNDEF || at > r->size || bytes > r->size - at))
    return bad_dataset(r, name, "lies past the end of the file; it is truncated or damaged", err);
  return 1;
}

/* open_dataset, for a dataset that must be there with this type. */
static int open_typed(const struct tpo_h5_reader *r, const char *name, enum tpo_h5_type type, hid_t *id,
                      struct tpo_h5_shape *shape, struct tpo_error *err)
{
  int found = open_dataset(r, name, id, shape, err);
  if (found < 0) return found;
  struct tpo_shown shown = tpo_show_name(name, strlen(name));
  if (found == 0) return tpo_fail(err, TPO_E_INPUT, "%s: has no dataset '%s'", r->path, shown.text);
  if (shape->type == type) return 0;
  H5Dclose(*id);
  *id = H5I_INVALID_HID;
  return tpo_fail(err, TPO_E_INPUT, "%s: dataset '%s' has type %s, expected %s", r->path, shown.text,
                  tpo_h5_type_name(shape->type), tpo_h5_type_name(type));
}

int tpo_h5_length(const struct tpo_h5_reader *r, const char *name, enum tpo_h5_type type, uint64_t *n,
                  struct tpo_error *err)
{
  hid_t dataset;
  struct tpo_h5_shape shape;
  int status = open_typed(r, name, type, &dataset, &shape, err);
  if (status < 0) return status;
  H5Dclose(dataset);
  if (shape.rank != 1)
    return tpo_fail(err, TPO_E_INPUT, "%s: dataset '%s' has %d dimensions, expected 1", r->path, name,
                    shape.rank);
  *n = shape.count;
  return 0;
}

static int wrong_count(const struct tpo_h5_reader *r, const char *name, uint64_t found, uint64_t expected,
                       struct tpo_error *err)
{
  return tpo_fail(err, TPO_E_INPUT, "%s: dataset '%s' has %llu elements, expected %llu", r->path,
                  tpo_show_name(name, strlen(name)).text, (unsigned long long)found,
                  (unsigned long long)expected);
}

int tpo_h5_get(const struct tpo_h5_reader *r, const char *name, enum tpo_h5_type type, uint64_t count,
               void *out, struct tpo_error *err)
{
  hid_t dataset;
  struct tpo_h5_shape shape;
  int status = open_typed(r, name, type, &dataset, &shape, err);
  if (status < 0) return status;
  if (shape.count != count) {
    status = wrong_count(r, name, shape.count, count, err);
  } else if (count > 0) {
    hid_t memory = tpo_h5_memory_type(type);
    if (H5Dread(dataset, memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, out) < 0)
      status = bad_dataset(r, name, "can't be read", err);
    H5Tclose(memory);
  }
  H5Dclose(dataset);
  return status;
}

typedef int (*text_function)(void *arg, uint64_t row, const char *text, struct tpo_error *err);

/* Gives n texts to fn and adds their length to *total, which the file's size bounds: it keeps many references
 * to one long text from filling memory. */
static int give_texts(const struct tpo_h5_reader *r, const char *name, uint64_t first, uint64_t n,
                      char *const *texts, uint64_t *total, text_function fn, void *arg, struct tpo_error *err)
{
  for (uint64_t i = 0; i < n; i++) {
    const char *text = texts[i] ? texts[i] : "";
    size_t len = strlen(text);
    *total += len;
    if (*total > r->size)
      return bad_dataset(r, name, "has more text than the file can hold; it is damaged", err);
    if (!tpo_utf8_valid(text, len, NULL))
      return tpo_fail(err, TPO_E_INPUT, "%s: dataset '%s': row %llu is not UTF-8", r->path, name,
                      (unsigned long long)(first + i));
    int status = fn(arg, first + i, text, err);
    if (status < 0) return status;
  }
  return 0;
}

static int read_texts(const struct tpo_h5_reader *r, const char *name, hid_t dataset,
                      const struct tpo_h5_shape *shape, text_function fn, void *arg, struct tpo_error *err)
{
  hid_t memory = tpo_h5_memory_type(TPO_H5_TEXT);
  uint64_t total = 0;
  int status = 0;
  for (hsize_t first = 0; first < shape->count && status == 0; first += TEXT_BATCH) {
    char *texts[TEXT_BATCH] = {0};
    hsize_t n = shape->count - first < TEXT_BATCH ? shape->count - first : TEXT_BATCH;
    hid_t file_space = H5Dget_space(dataset), space = H5Screate_simple(1, &n, NULL);
    bool is_selected =
        shape->rank == 0 || H5Sselect_hyperslab(file_space, H5S_SELECT_SET, &first, NULL, &n, NULL) >= 0;
    if (!is_selected || H5Dread(dataset, memory, space, file_space, H5P_DEFAULT, texts) < 0) {
      status = bad_dataset(r, name, "can't be read", err);
    } else {
      status = give_texts(r, name, first, n, texts, &total, fn, arg, err);
      H5Dvlen_reclaim(memory, space, H5P_DEFAULT, texts);
    }
    H5Sclose(space);
    H5Sclose(file_space);
  }
  H5Tclose(memory);
  return status;
}

int tpo_h5_get_texts(const struct tpo_h5_reader *r, const char *name, uint64_t count, text_function fn,
                     void *arg, struct tpo_error *err)
{
  hid_t dataset;
  struct tpo_h5_shape shape;
  int status = open_typed(r, name, TPO_H5_TEXT, &dataset, &shape, err);
  if (status < 0) return status;
  if (shape.rank > 1)
    status = tpo_fail(err, TPO_E_INPUT, "%s: dataset '%s' has %d dimensions, expected 1", r->path, name,
                      shape.rank);
  else if (shape.count != count)
    status = wrong_count(r, name, shape.count, count, err);
  else
    status = read_texts(r, name, dataset, &shape, fn, arg, err);
  H5Dclose(dataset);
  return status;
}

int tpo_h5_get_attribute(const struct tpo_h5_reader *r, const char *name, const char *attribute, char **text,
                         struct tpo_error *err)
{
  char what[200], *value = NULL;
  snprintf(what, sizeof what, "attribute '%.60s' can't be read", attribute);
  htri_t exists = H5Aexists_by_name(r->id, name, attribute, H5P_DEFAULT);
  if (exists == 0) return 0;
  hid_t id = exists > 0 ? H5Aopen_by_name(r->id, name, attribute, H5P_DEFAULT, H5P_DEFAULT) : H5I_INVALID_HID;
  if (id < 0) return tpo_h5_fail_read(r, what, err);
  hid_t type = H5Aget_type(id), space = H5Aget_space(id), memory = tpo_h5_memory_type(TPO_H5_TEXT);
  int status = 1;
  if (H5Tis_variable_str(type) <= 0 || H5Tcommitted(type) != 0 || H5Tget_cset(type) != H5T_CSET_UTF8 ||
      H5Sget_simple_extent_npoints(space) != 1)
    status = tpo_fail(err, TPO_E_INPUT, "%s: attribute '%s' must be one UTF-8 text", r->path, attribute);
  else if (H5Aread(id, memory, &value) < 0)
    status = tpo_h5_fail_read(r, what, err);
  if (status == 1 && !tpo_utf8_valid(value ? value : "", value ? strlen(value) : 0, NULL))
    status = tpo_fail(err, TPO_E_INPUT, "%s: attribute '%s' is not UTF-8", r->path, attribute);
  if (status == 1) {
    *text = strdup(value ? value : "");
    if (!*text) status = tpo_fail(err, TPO_E_MEMORY, "%s: out of memory", r->path);
  }
  H5free_memory(value);
  H5Tclose(memory);
  H5Sclose(space);
  H5Tclose(type);
  H5Aclose(id);
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
    each->status = bad_dataset(each->r, name, "is a soft or external link, expected data", each->err);
  else if (H5Oget_info_by_name2(group, name, &object, H5O_INFO_BASIC, H5P_DEFAULT) < 0)
    each->status = bad_dataset(each->r, name, "can't be looked up", each->err);
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
  if (id < 0) return bad_dataset(r, group, "can't be opened as a group", err);
  hsize_t at = 0;
  herr_t result = H5Literate(id, H5_INDEX_NAME, H5_ITER_INC, &at, each_link, &each);
  H5Gclose(id);
  H5Eclear2(H5E_DEFAULT);
  if (each.status < 0) return each.status;
  return result < 0 ? bad_dataset(r, group, "can't be listed", err) : 0;
}
