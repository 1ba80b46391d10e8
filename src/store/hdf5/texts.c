/* Texts of data sets and of attributes: of variable length, as this program writes them, or of a fixed one
 * and filled up, in UTF-8 or ASCII. */
#include <stdlib.h>
#include <string.h>
#include "base/utf8.h"
#include "store/hdf5/storage.h"

struct texts {
  const struct tpo_h5_reader *r;
  const struct tpo_h5_dataset *d;
  struct tpo_buf text; /* with the NUL that the file has not */
  uint64_t total;      /* bytes so far */
  int (*fn)(void *arg, uint64_t row, const char *text, struct tpo_error *err);
  void *arg;
};

/* Without what fills it up: spaces, or NULs, with which some programs also end texts of variable length. */
static size_t length_of(const struct tpo_h5_dataset *d, const char *text, size_t len)
{
  if (!d->references && d->fill == H5T_STR_NULLTERM) return strnlen(text, len);
  char filler = !d->references && d->fill == H5T_STR_SPACEPAD ? ' ' : '\0';
  while (len > 0 && text[len - 1] == filler) len--;
  return len;
}

/* The file's size bounds the length of all texts that are referred to: it keeps many references to one long
 * text from filling memory. */
static int give_text(struct texts *t, uint64_t row, const uint8_t *element, struct tpo_error *err)
{
  const char *text = (const char *)element;
  size_t len = t->d->element;
  if (t->d->references && !tpo_h5_text_of(t->r, element, &text, &len))
    return tpo_h5_bad_dataset(t->r, t->d->name, "refers to a text that is not in the file; it is damaged",
                              err);
  len = length_of(t->d, text, len);
  t->total += len;
  if (t->d->references && t->total > t->r->size)
    return tpo_h5_bad_dataset(t->r, t->d->name, "has more text than the file can hold; it is damaged", err);
  if (memchr(text, '\0', len) || !tpo_utf8_valid(text, len, NULL))
    return tpo_fail(err, TPO_E_INPUT, "%s: dataset '%s': row %llu is not UTF-8 without NUL characters",
                    t->r->path, t->d->name, (unsigned long long)row);
  tpo_buf_clear(&t->text);
  tpo_buf_append(&t->text, text, len);
  if (t->text.failed) return tpo_fail(err, TPO_E_MEMORY, "%s: out of memory for a text", t->r->path);
  return t->fn(t->arg, row, t->text.data ? t->text.data : "", err);
}

static int give_texts(void *arg, uint64_t first, uint64_t n, const uint8_t *bytes, struct tpo_error *err)
{
  struct texts *t = arg;
  int status = 0;
  for (uint64_t i = 0; i < n && status == 0; i++)
    status = give_text(t, first + i, bytes + i * t->d->element, err);
  return status;
}

int tpo_h5_get_texts(const struct tpo_h5_reader *r, const char *name, uint64_t count,
                     int (*fn)(void *arg, uint64_t row, const char *text, struct tpo_error *err), void *arg,
                     struct tpo_error *err)
{
  struct tpo_h5_dataset d;
  struct texts texts = {.r = r, .d = &d, .fn = fn, .arg = arg};
  int status = tpo_h5_open_typed(r, name, TPO_H5_TEXT, &d, err);
  if (status < 0) return status;
  if (d.shape.rank > 1)
    status = tpo_fail(err, TPO_E_INPUT, "%s: dataset '%s' has %d dimensions, expected 1", r->path, name,
                      d.shape.rank);
  else if (d.shape.count != count)
    status = tpo_h5_wrong_count(r, name, d.shape.count, count, err);
  else
    status = tpo_h5_storage_each(r, &d, give_texts, &texts, err);
  tpo_buf_free(&texts.text);
  H5Dclose(d.id);
  return status;
}

/* The text of a variable-length attribute was found when the file was opened, unless the object's attributes
 * are kept in a structure of their own, as only many or large ones are. */
static bool is_in_header(const struct tpo_h5_reader *r, const char *name)
{
  H5O_info_t info;
  return H5Oget_info_by_name2(r->id, name, &info, H5O_INFO_META_SIZE, H5P_DEFAULT) >= 0 &&
         info.meta_size.attr.index_size == 0 && info.meta_size.attr.heap_size == 0;
}

/* The value of an attribute that is one text, to *text, without what fills it up. */
static int read_attribute(const struct tpo_h5_reader *r, hid_t id, hid_t type, const char *attribute,
                          char **text, struct tpo_error *err)
{
  char what[200];
  bool variable = H5Tis_variable_str(type) > 0;
  struct tpo_h5_dataset form = {.references = variable, .fill = H5Tget_strpad(type)};
  size_t size = variable ? 0 : H5Tget_size(type);
  hid_t memory = variable ? tpo_h5_memory_type(TPO_H5_TEXT) : H5Tcopy(type);
  char *value = NULL, *copy = size <= r->size ? tpo_calloc(size + 1, 1, err) : NULL;
  int status = copy ? 1 : tpo_fail(err, TPO_E_INPUT, "%s: attribute '%s' can't be held", r->path, attribute);
  snprintf(what, sizeof what, "attribute '%.60s' can't be read", attribute);
  if (status == 1 && H5Aread(id, memory, variable ? (void *)&value : copy) < 0)
    status = tpo_h5_fail_read(r, what, err);
  const char *from = variable ? (value ? value : "") : copy;
  if (status == 1) {
    size_t len = length_of(&form, from, variable ? strlen(from) : size);
    if (memchr(from, '\0', len) || !tpo_utf8_valid(from, len, NULL))
      status = tpo_fail(err, TPO_E_INPUT, "%s: attribute '%s' is not UTF-8 without NUL characters", r->path,
                        attribute);
    else if (!(*text = strndup(from, len)))
      status = tpo_fail(err, TPO_E_MEMORY, "%s: out of memory", r->path);
  }
  H5free_memory(value);
  H5Tclose(memory);
  free(copy);
  return status;
}

int tpo_h5_get_attribute(const struct tpo_h5_reader *r, const char *name, const char *attribute, char **text,
                         struct tpo_error *err)
{
  char what[200];
  *text = NULL;
  snprintf(what, sizeof what, "attribute '%.60s' can't be read", attribute);
  htri_t exists = H5Aexists_by_name(r->id, name, attribute, H5P_DEFAULT);
  if (exists == 0) return 0;
  hid_t id = exists > 0 ? H5Aopen_by_name(r->id, name, attribute, H5P_DEFAULT, H5P_DEFAULT) : H5I_INVALID_HID;
  if (id < 0) return tpo_h5_fail_read(r, what, err);
  hid_t type = H5Aget_type(id), space = H5Aget_space(id);
  int status;
  if (H5Tget_class(type) != H5T_STRING || H5Tcommitted(type) != 0 || H5Sget_simple_extent_npoints(space) != 1)
    status = tpo_fail(err, TPO_E_INPUT, "%s: attribute '%s' must be one UTF-8 text", r->path, attribute);
  else if (H5Tis_variable_str(type) > 0 && !is_in_header(r, name))
    status = tpo_fail(
        err, TPO_E_INPUT,
        "%s: attribute '%s' is stored apart from what it belongs to (dense storage); expected at most 8 attributes of at most 64 KiB",
        r->path, attribute);
  else
    status = read_attribute(r, id, type, attribute, text, err);
  H5Sclose(space);
  H5Tclose(type);
  H5Aclose(id);
  return status;
}
