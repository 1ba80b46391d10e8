/* Contiguous data, as this program writes them, and chunks, filtered or not, as others do. */
#include "store/hdf5/storage.h"
#include <stdlib.h>
#include <string.h>
#include "store/show.h"

int tpo_h5_bad_dataset(const struct tpo_h5_reader *r, const char *name, const char *what,
                       struct tpo_error *err)
{
  char text[500];
  snprintf(text, sizeof text, "dataset '%s' %s", tpo_show_name(name, strlen(name)).text, what);
  return tpo_h5_fail_read(r, text, err);
}

static int refuse_filter(const struct tpo_h5_reader *r, const char *dataset, int id, const char *name,
                         struct tpo_error *err)
{
  char what[300];
  const char *known = tpo_h5_filter_name(id);
  snprintf(
      what, sizeof what,
      "is stored with the filter %s (number %d), which is not read here; gzip, lzf, shuffle and fletcher32 are",
      known ? known : tpo_show_name(name, strlen(name)).text, id);
  return tpo_h5_bad_dataset(r, dataset, what, err);
}

static int read_pipeline(const struct tpo_h5_reader *r, struct tpo_h5_dataset *d, hid_t creation,
                         struct tpo_error *err)
{
  int n = H5Pget_nfilters(creation), compressing = 0;
  if (n < 0 || n > MOST_FILTERS)
    return tpo_h5_bad_dataset(r, d->name, "is stored with too many filters", err);
  for (int i = 0; i < n; i++) {
    unsigned values[1] = {0}, flags, config;
    size_t n_values = 1;
    char name[80] = "";
    int id = H5Pget_filter2(creation, (unsigned)i, &flags, &n_values, values, sizeof name, name, &config);
    name[sizeof name - 1] = '\0';
    if (!tpo_h5_filter_known(id)) return refuse_filter(r, d->name, id, name, err);
    compressing += tpo_h5_filter_compresses(id);
    d->pipeline.filters[i] = (struct tpo_h5_filter){
        .id = id, .element = id == H5_SHUFFLE && n_values > 0 ? values[0] : (uint32_t)d->element};
  }
  d->pipeline.n = n;
  return compressing > 1 ? tpo_h5_bad_dataset(r, d->name, "is compressed twice", err) : 0;
}

static int read_chunk_shape(const struct tpo_h5_reader *r, struct tpo_h5_dataset *d, hid_t creation,
                            struct tpo_error *err)
{
  hsize_t chunk[H5S_MAX_RANK];
  bool is_valid = H5Pget_chunk(creation, TPO_H5_MAX_RANK, chunk) == d->shape.rank;
  d->chunk_bytes = d->element;
  for (int i = 0; is_valid && i < d->shape.rank; i++) {
    d->chunk[i] = chunk[i];
    is_valid = chunk[i] > 0 && !__builtin_mul_overflow(d->chunk_bytes, (uint64_t)chunk[i], &d->chunk_bytes);
  }
  return is_valid ? 0 : tpo_h5_bad_dataset(r, d->name, "has chunks of an impossible shape", err);
}

/* No more is believed of chunks than what is stored of them can become. Each has a byte at least. */
static bool is_plausible(const struct tpo_h5_reader *r, const struct tpo_h5_dataset *d, uint64_t bytes)
{
  uint64_t most, chunks = 1, growth = 1;
  for (int i = 0; i < d->pipeline.n; i++)
    if (tpo_h5_filter_compresses(d->pipeline.filters[i].id)) growth = MOST_GROWTH;
  if (d->stored > r->size || __builtin_mul_overflow(d->stored, growth, &most)) return false;
  for (int i = 0; i < d->shape.rank; i++) {
    uint64_t along = d->shape.dims[i] / d->chunk[i] + (d->shape.dims[i] % d->chunk[i] != 0);
    if (__builtin_mul_overflow(chunks, along, &chunks)) return false;
  }
  return bytes <= most && d->chunk_bytes <= most && chunks <= d->stored;
}

static int check_size(const struct tpo_h5_reader *r, const struct tpo_h5_dataset *d, struct tpo_error *err)
{
  char what[200];
  uint64_t bytes;
  bool fits = !__builtin_mul_overflow(d->shape.count, (uint64_t)d->element, &bytes);
  if (d->shape.count == 0) return 0;
  if (d->layout != H5D_CHUNKED) {
    if (fits && bytes == d->stored && bytes <= r->size) return 0;
    return tpo_h5_bad_dataset(
        r, d->name, "is not stored whole and plain in the file; it is damaged or of another program", err);
  }
  if (fits && is_plausible(r, d, bytes)) return 0;
  snprintf(what, sizeof what,
           "claims %llu elements, of which the file stores %llu bytes; it is damaged or not whole",
           (unsigned long long)d->shape.count, (unsigned long long)d->stored);
  return tpo_h5_bad_dataset(r, d->name, what, err);
}

static void read_type(struct tpo_h5_dataset *d)
{
  hid_t type = H5Dget_type(d->id);
  d->references = d->shape.type == TPO_H5_TEXT && H5Tis_variable_str(type) > 0;
  d->element = d->references ? TPO_H5_REFERENCE : H5Tget_size(type);
  if (d->shape.type == TPO_H5_TEXT) d->fill = H5Tget_strpad(type);
  H5Tclose(type);
}

int tpo_h5_storage_read(const struct tpo_h5_reader *r, struct tpo_h5_dataset *d, struct tpo_error *err)
{
  hid_t creation = H5Dget_create_plist(d->id);
  const char *what = NULL;
  int status = 0;
  read_type(d);
  d->layout = H5Pget_layout(creation);
  d->stored = H5Dget_storage_size(d->id);
  if (H5Pget_external_count(creation) != 0)
    what = "lies in other files (external storage); its data is expected in this one";
  else if (d->layout == H5D_VIRTUAL)
    what = "is a virtual data set, made of others; its data is expected in it";
  else if (d->layout == H5D_COMPACT && d->references)
    what = "keeps its texts in its header (compact storage); contiguous or chunked storage is expected";
  else if (d->layout != H5D_CONTIGUOUS && d->layout != H5D_COMPACT && d->layout != H5D_CHUNKED)
    what = "is stored in a way that is not known here";
  if (what) status = tpo_h5_bad_dataset(r, d->name, what, err);
  if (status == 0 && d->layout == H5D_CHUNKED) {
    status = read_chunk_shape(r, d, creation, err);
    if (status == 0) status = read_pipeline(r, d, creation, err);
  }
  if (status == 0) status = check_size(r, d, err);
  H5Pclose(creation);
  return status;
}

/* --- chunks --- */

/* Buffers that a chunk is read into. No chunk is longer than all of them: the library reads as many bytes as
 * the file says, and here is room for as many. Pages that nothing is read into cost nothing. */
struct chunk_reader {
  const struct tpo_h5_reader *r;
  const struct tpo_h5_dataset *d;
  uint8_t *in, *out; /* [room] */
};

static int chunk_reader_open(struct chunk_reader *c, const struct tpo_h5_reader *r,
                             const struct tpo_h5_dataset *d, struct tpo_error *err)
{
  uint64_t room = d->chunk_bytes > d->stored ? d->chunk_bytes : d->stored;
  room += 4 * MOST_FILTERS;
  *c = (struct chunk_reader){.r = r, .d = d};
  c->in = tpo_calloc(room, 1, err);
  c->out = c->in && d->pipeline.n > 0 ? tpo_calloc(room, 1, err) : NULL;
  return c->in && (c->out || d->pipeline.n == 0) ? 0 : TPO_E_MEMORY;
}

static void chunk_reader_close(struct chunk_reader *c)
{
  free(c->in);
  free(c->out);
}

static int bad_chunk(const struct chunk_reader *c, const hsize_t *origin, const char *why,
                     struct tpo_error *err)
{
  char what[200];
  snprintf(what, sizeof what, "has a chunk, from row %llu on, that %s", (unsigned long long)origin[0], why);
  return tpo_h5_bad_dataset(c->r, c->d->name, what, err);
}

/* The [chunk_bytes] of the chunk whose first element is at origin; borrowed until the next call. */
static int read_chunk(const struct chunk_reader *c, const hsize_t *origin, const uint8_t **bytes,
                      struct tpo_error *err)
{
  const struct tpo_h5_dataset *d = c->d;
  hsize_t size = 0;
  uint32_t skipped = 0;
  if (H5Dget_chunk_storage_size(d->id, origin, &size) < 0 || size == 0)
    return bad_chunk(c, origin, "is not in the file", err);
  if (size > d->stored || H5Dread_chunk(d->id, H5P_DEFAULT, origin, &skipped, c->in) < 0)
    return bad_chunk(c, origin, "can't be read", err);
  if (tpo_h5_unfilter(&d->pipeline, skipped, c->in, size, c->out, d->chunk_bytes, bytes)) return 0;
  return bad_chunk(c, origin, "is damaged", err);
}

/* Moves origin to the next chunk of the grid, in row-major order; false after the last. */
static bool next_chunk(const struct tpo_h5_dataset *d, hsize_t *origin)
{
  for (int i = d->shape.rank - 1; i >= 0; i--) {
    origin[i] += d->chunk[i];
    if (origin[i] < d->shape.dims[i]) return true;
    origin[i] = 0;
  }
  return false;
}

/* Copies what of a chunk lies within the data set to its place. */
static void place_chunk(const struct tpo_h5_dataset *d, const hsize_t *origin, const uint8_t *chunk,
                        uint8_t *out)
{
  int rank = d->shape.rank, last = rank - 1;
  uint64_t extent[TPO_H5_MAX_RANK], at[TPO_H5_MAX_RANK] = {0};
  for (int i = 0; i < rank; i++) {
    uint64_t rest = d->shape.dims[i] - origin[i];
    extent[i] = rest < d->chunk[i] ? rest : d->chunk[i];
  }
  for (int i = last; i >= 0;) {
    uint64_t from = 0, to = 0;
    for (int j = 0; j < rank; j++) {
      from = from * d->chunk[j] + at[j];
      to = to * d->shape.dims[j] + origin[j] + at[j];
    }
    memcpy(out + to * d->element, chunk + from * d->element, extent[last] * d->element);
    for (i = last - 1; i >= 0 && ++at[i] == extent[i]; i--) at[i] = 0;
  }
}

static int get_chunks(const struct tpo_h5_reader *r, const struct tpo_h5_dataset *d, uint8_t *out,
                      struct tpo_error *err)
{
  struct chunk_reader c;
  hsize_t origin[TPO_H5_MAX_RANK] = {0};
  int status = chunk_reader_open(&c, r, d, err);
  do {
    const uint8_t *bytes;
    if (status == 0) status = read_chunk(&c, origin, &bytes, err);
    if (status == 0) place_chunk(d, origin, bytes, out);
  } while (status == 0 && next_chunk(d, origin));
  chunk_reader_close(&c);
  return status;
}

/* As the file's type is, so no conversion is made. */
static int get_plain(const struct tpo_h5_reader *r, const struct tpo_h5_dataset *d, void *out,
                     struct tpo_error *err)
{
  hid_t type = H5Dget_type(d->id);
  int status = H5Dread(d->id, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, out) < 0
                   ? tpo_h5_bad_dataset(r, d->name, "can't be read", err)
                   : 0;
  H5Tclose(type);
  return status;
}

int tpo_h5_storage_get(const struct tpo_h5_reader *r, const struct tpo_h5_dataset *d, void *out,
                       struct tpo_error *err)
{
  if (d->shape.count == 0) return 0;
  return d->layout == H5D_CHUNKED ? get_chunks(r, d, out, err) : get_plain(r, d, out, err);
}

typedef int (*block_function)(void *arg, uint64_t first, uint64_t n, const uint8_t *bytes,
                              struct tpo_error *err);

static int each_chunk(const struct tpo_h5_reader *r, const struct tpo_h5_dataset *d, block_function fn,
                      void *arg, struct tpo_error *err)
{
  struct chunk_reader c;
  int status = chunk_reader_open(&c, r, d, err);
  for (hsize_t first = 0; first < d->shape.count && status == 0; first += d->chunk[0]) {
    uint64_t rest = d->shape.count - first, n = rest < d->chunk[0] ? rest : d->chunk[0];
    const uint8_t *bytes;
    status = read_chunk(&c, &first, &bytes, err);
    if (status == 0) status = fn(arg, first, n, bytes, err);
  }
  chunk_reader_close(&c);
  return status;
}

int tpo_h5_storage_whole(const struct tpo_h5_reader *r, const struct tpo_h5_dataset *d, block_function fn,
                         void *arg, struct tpo_error *err)
{
  haddr_t at = H5Dget_offset(d->id);
  uint64_t bytes = d->shape.count * d->element;
  if (bytes == 0) return 0;
  if (d->layout == H5D_CONTIGUOUS) {
    if (at == HADDR_UNDEF || at > r->map.size || bytes > r->map.size - at)
      return tpo_h5_bad_dataset(r, d->name, "lies past the end of the file; it is truncated or damaged", err);
    return fn(arg, 0, d->shape.count, r->map.data + at, err);
  }
  uint8_t *copy = tpo_calloc(bytes, 1, err);
  int status = copy ? tpo_h5_storage_get(r, d, copy, err) : TPO_E_MEMORY;
  if (status == 0) status = fn(arg, 0, d->shape.count, copy, err);
  free(copy);
  return status;
}

int tpo_h5_storage_each(const struct tpo_h5_reader *r, const struct tpo_h5_dataset *d, block_function fn,
                        void *arg, struct tpo_error *err)
{
  if (d->shape.count == 0) return 0;
  return d->layout == H5D_CHUNKED ? each_chunk(r, d, fn, arg, err) : tpo_h5_storage_whole(r, d, fn, arg, err);
}
