/* gzip, lzf, shuffle and fletcher32, backwards. Every length is known before a byte is written: of a chunk's
 * bytes only checksums that were added before they were compressed make more. */
#include "store/hdf5/filters.h"
#include <string.h>
#include <zlib.h>

static const struct {
  int id;
  const char *name;
  bool known, compresses;
} filters[] = {
    {H5_GZIP, "gzip", true, true},
    {H5_SHUFFLE, "shuffle", true, false},
    {H5_FLETCHER32, "fletcher32", true, false},
    {H5_LZF, "lzf", true, true},
    {4, "szip", false, true},
    {5, "nbit", false, true},
    {6, "scaleoffset", false, true},
    {307, "bzip2", false, true},
    {32001, "blosc", false, true},
    {32004, "lz4", false, true},
    {32008, "bitshuffle", false, true},
    {32015, "zstd", false, true},
    {32026, "blosc2", false, true},
};
enum { N_FILTERS = sizeof filters / sizeof *filters, CHECKSUM = 4 };

const char *tpo_h5_filter_name(int id)
{
  for (int i = 0; i < N_FILTERS; i++)
    if (filters[i].id == id) return filters[i].name;
  return NULL;
}

bool tpo_h5_filter_known(int id)
{
  for (int i = 0; i < N_FILTERS; i++)
    if (filters[i].id == id) return filters[i].known;
  return false;
}

bool tpo_h5_filter_compresses(int id)
{
  for (int i = 0; i < N_FILTERS; i++)
    if (filters[i].id == id) return filters[i].compresses;
  return true;
}

static bool expand_gzip(const uint8_t *in, size_t n_in, uint8_t *out, size_t n_out)
{
  uLongf len = n_out;
  return uncompress(out, &len, in, n_in) == Z_OK && len == n_out;
}

/* LZF is a list of runs. A first byte below 32 begins that many bytes and one more, as they are. Otherwise
 * its three high bits, where all are set with the next byte added, are a length less 2, and its five low bits
 * with one more byte the distance less 1 at which those bytes stand in what there is already. */
static bool expand_lzf(const uint8_t *in, size_t n_in, uint8_t *out, size_t n_out)
{
  size_t at = 0, used = 0;
  while (at < n_in) {
    unsigned head = in[at++];
    if (head < 32) {
      size_t len = head + 1;
      if (len > n_in - at || len > n_out - used) return false;
      memcpy(out + used, in + at, len);
      at += len;
      used += len;
      continue;
    }
    size_t len = head >> 5;
    if (len == 7 && at < n_in) len += in[at++];
    if (at == n_in) return false;
    size_t distance = ((size_t)(head & 31) << 8) + in[at++] + 1;
    len += 2;
    if (distance > used || len > n_out - used) return false;
    for (size_t i = 0; i < len; i++, used++) out[used] = out[used - distance]; /* they may overlap */
  }
  return used == n_out;
}

/* The elements' first bytes, then their second ones, ...; what is less than an element stays at the end. */
static void unshuffle(const uint8_t *in, size_t n, uint32_t element, uint8_t *out)
{
  size_t count = element ? n / element : 0;
  for (size_t b = 0; count > 0 && b < element; b++)
    for (size_t i = 0; i < count; i++) out[i * element + b] = in[b * count + i];
  memcpy(out + count * element, in + count * element, n - count * element);
}

/* Fletcher's sums over big-endian words of 16 bits. A sum that is 0 modulo 65535 is told as 65535, unless all
 * words are 0. */
static uint32_t fletcher32(const uint8_t *bytes, size_t n)
{
  uint64_t first = 0, second = 0;
  bool any = false;
  for (size_t i = 0; i < n; i += 2) {
    uint32_t word = (uint32_t)bytes[i] << 8 | (i + 1 < n ? bytes[i + 1] : 0);
    any |= word != 0;
    first += word;
    second += first;
    if (i % 512 == 0) {
      first %= 65535;
      second %= 65535;
    }
  }
  first %= 65535;
  second %= 65535;
  if (any && first == 0) first = 65535;
  if (any && second == 0) second = 65535;
  return (uint32_t)(second << 16 | first);
}

/* The checksum follows, little-endian; versions of long ago wrote the two bytes of each sum the other way
 * round. */
static bool checksum_holds(const uint8_t *bytes, size_t n)
{
  const uint8_t *at = bytes + n;
  uint32_t stored = (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
  uint32_t sum = fletcher32(bytes, n);
  return stored == sum || stored == ((sum & 0xff00ff) << 8 | (sum >> 8 & 0xff00ff));
}

static bool applied(const struct tpo_h5_pipeline *pipeline, uint32_t skipped, int i, int id)
{
  return !(skipped >> i & 1) && pipeline->filters[i].id == id;
}

bool tpo_h5_unfilter(const struct tpo_h5_pipeline *pipeline, uint32_t skipped, uint8_t *in, size_t n_in,
                     uint8_t *out, size_t n_out, const uint8_t **bytes)
{
  size_t n = n_in;
  for (int i = pipeline->n - 1; i >= 0; i--) {
    size_t expanded = n_out; /* with the checksums that were there before filter i */
    for (int j = 0; j < i; j++) expanded += applied(pipeline, skipped, j, H5_FLETCHER32) ? CHECKSUM : 0;
    if (applied(pipeline, skipped, i, H5_FLETCHER32)) {
      if (n < CHECKSUM || !checksum_holds(in, n - CHECKSUM)) return false;
      n -= CHECKSUM;
    }
    bool gzip = applied(pipeline, skipped, i, H5_GZIP), lzf = applied(pipeline, skipped, i, H5_LZF);
    bool shuffle = applied(pipeline, skipped, i, H5_SHUFFLE);
    if ((gzip && !expand_gzip(in, n, out, expanded)) || (lzf && !expand_lzf(in, n, out, expanded)))
      return false;
    if (gzip || lzf) n = expanded;
    if (shuffle) unshuffle(in, n, pipeline->filters[i].element, out);
    if (gzip || lzf || shuffle) {
      uint8_t *other = in;
      in = out;
      out = other;
    }
  }
  *bytes = in;
  return n == n_out;
}
