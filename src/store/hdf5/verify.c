/* content_hash from the datasets themselves, and what any of our files says of itself. */
#include <stdlib.h>
#include <string.h>
#include "base/hash.h"
#include "store/hdf5/h5.h"
#include "store/show.h"
#include "tpo/store.h"

enum { DEEPEST = 8 }; /* groups within groups; a cycle of links goes past it */

struct visit {
  const struct tpo_h5_reader *r;
  const char *group; /* "" at the root */
  int depth;
  struct tpo_h5_digest *digests;
  size_t n, capacity;
};

static int hash_text(void *arg, uint64_t row, const char *text, struct tpo_error *err)
{
  (void)row;
  (void)err;
  tpo_h5_digest_text(arg, text, strlen(text));
  return 0;
}

struct values {
  struct tpo_hash *hash;
  size_t size; /* of one */
};

static int hash_values(void *arg, uint64_t first, uint64_t n, const uint8_t *bytes, struct tpo_error *err)
{
  const struct values *values = arg;
  (void)first;
  (void)err;
  tpo_hash_add(values->hash, bytes, n * values->size);
  return 0;
}

static int hash_dataset(const struct visit *v, const char *name, char hex[33], struct tpo_error *err)
{
  struct tpo_h5_shape shape;
  struct tpo_hash hash;
  int status = tpo_h5_shape(v->r, name, &shape, err);
  if (status == 1 && shape.type == TPO_H5_OTHER)
    return tpo_fail(err, TPO_E_INPUT, "%s: dataset '%s' has a type that this program does not write",
                    v->r->path, tpo_show_name(name, strlen(name)).text);
  if (status >= 0) status = tpo_h5_digest_begin(&hash, name, &shape, err);
  if (status < 0) return status;
  struct values values = {.hash = &hash, .size = tpo_h5_type_size(shape.type)};
  status = shape.type == TPO_H5_TEXT ? tpo_h5_get_texts(v->r, name, shape.count, hash_text, &hash, err)
                                     : tpo_h5_get_bytes(v->r, name, hash_values, &values, err);
  tpo_hash_end(&hash, hex);
  return status;
}

static int visit_link(void *arg, const char *link, bool is_group, struct tpo_error *err)
{
  struct visit *v = arg;
  char *name = NULL;
  const char *group = v->group;
  if (asprintf(&name, "%s%s%s", group, group[0] ? "/" : "", link) < 0)
    return tpo_fail(err, TPO_E_MEMORY, "%s: out of memory", v->r->path);
  int status = 0;
  if (is_group) {
    v->group = name;
    if (++v->depth > DEEPEST)
      status = tpo_fail(err, TPO_E_INPUT, "%s: groups more than %d deep", v->r->path, DEEPEST);
    else
      status = tpo_h5_each(v->r, name, visit_link, v, err);
    v->depth--;
    v->group = group;
    free(name);
    return status;
  }
  struct tpo_h5_digest digest = {.name = name};
  status = hash_dataset(v, name, digest.hex, err);
  if (status == 0) status = tpo_grow(&v->digests, &v->capacity, v->n + 1, sizeof digest, err);
  if (status < 0)
    free(name);
  else
    v->digests[v->n++] = digest;
  return status;
}

static int hash_contents(const struct tpo_h5_reader *r, char hex[33], struct tpo_error *err)
{
  struct visit v = {.r = r, .group = ""};
  int status = tpo_h5_each(r, "/", visit_link, &v, err);
  if (status == 0) status = tpo_h5_digest_all(v.digests, v.n, hex, err);
  for (size_t i = 0; i < v.n; i++) free(v.digests[i].name);
  free(v.digests);
  return status;
}

static int read_hash(const struct tpo_h5_reader *r, char hex[33], struct tpo_error *err)
{
  char *text = NULL;
  int status = tpo_h5_get_attribute(r, "/", "content_hash", &text, err);
  if (status < 0) return status;
  if (status == 0 || strlen(text) != 32 || strspn(text, "0123456789abcdef") != 32)
    status = tpo_fail(err, TPO_E_INPUT,
                      "%s: its attribute content_hash is %s, expected 32 hexadecimal digits; "
                      "the file was not finished or is damaged",
                      r->path, status == 0 ? "absent" : tpo_show_name(text, strlen(text)).text);
  else
    memcpy(hex, text, 33);
  free(text);
  return status < 0 ? status : 0;
}

int tpo_store_content_hash(const char *path, char hex[33], struct tpo_error *err)
{
  struct tpo_h5_reader r;
  int status = tpo_h5_open(&r, path, NULL, err);
  if (status < 0) return status;
  status = read_hash(&r, hex, err);
  tpo_h5_reader_close(&r);
  return status;
}

int tpo_store_format(const char *path, char out[16], struct tpo_error *err)
{
  struct tpo_h5_reader r;
  int status = tpo_h5_open(&r, path, NULL, err);
  if (status < 0) return status;
  memcpy(out, r.format, sizeof r.format);
  tpo_h5_reader_close(&r);
  return 0;
}

int tpo_store_verify(const char *path, struct tpo_error *err)
{
  char stored[33], found[33];
  struct tpo_h5_reader r;
  int status = tpo_h5_open(&r, path, NULL, err);
  if (status < 0) return status;
  status = read_hash(&r, stored, err);
  if (status == 0) status = hash_contents(&r, found, err);
  if (status == 0 && strcmp(stored, found) != 0)
    status = tpo_fail(err, TPO_E_INPUT, "%s: its contents have the hash %s, expected %s; the file is damaged",
                      path, found, stored);
  tpo_h5_reader_close(&r);
  return status;
}
