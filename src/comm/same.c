/* What must not differ between the ranks, compared: by a hash over all of it, and only where that differs
 * fact by fact, at rank 0, which tells what differs and where. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/buf.h"
#include "base/hash.h"
#include "base/process.h"
#include "base/visible.h"
#include "comm/state.h"

enum {
  TOLD_MOST = 3,    /* facts of the first rank that differs; of the others their numbers alone */
  OTHERS_MOST = 16, /* whose numbers are told */
  VALUE_MOST = 72,  /* bytes of a value that are told */
  VALUE_BEFORE = 24 /* of them before the first that differs */
};

/* A rank's part: its length (8 bytes, without these), its host, then names and values in turn, all ending
 * with a NUL. A value begins with =; that of a fact which the rank doesn't know is empty. */
static void pack(struct tpo_buf *out, const struct tpo_comm_fact *facts, size_t n)
{
  char host[TPO_HOST_NAME];
  uint64_t len = 0;
  tpo_host_name(host);
  tpo_buf_append(out, (const char *)&len, sizeof len);
  tpo_buf_append(out, host, strlen(host) + 1);
  for (size_t i = 0; i < n; i++) {
    tpo_buf_append(out, facts[i].name, strlen(facts[i].name) + 1);
    if (facts[i].value) tpo_buf_putc(out, '=');
    tpo_buf_append(out, facts[i].value ? facts[i].value : "",
                   facts[i].value ? strlen(facts[i].value) + 1 : 1);
  }
  if (out->failed) return;
  len = out->len - sizeof len;
  memcpy(out->data, &len, sizeof len);
}

struct part {
  const char *host, *facts, *end;
};

/* The next of the gathered parts. Another program may have written it: false where it isn't one, and at the
 * end. */
static bool next_part(const char **at, const char *end, struct part *part)
{
  uint64_t len;
  if ((size_t)(end - *at) < sizeof len) return false;
  memcpy(&len, *at, sizeof len);
  part->host = *at + sizeof len;
  if (len == 0 || len > (uint64_t)(end - part->host) || part->host[len - 1] != '\0') return false;
  part->end = *at = part->host + len;
  part->facts = part->host + strlen(part->host) + 1;
  return true;
}

/* The next name and value; false at the end. */
static bool next_fact(const char **at, const char *end, const char **name, const char **value)
{
  if (*at >= end) return false;
  *name = *at;
  *value = *name + strlen(*name) + 1;
  if (*value >= end) return false;
  *at = *value + strlen(*value) + 1;
  return true;
}

/* NULL: it is not among them. */
static const char *find_value(const struct part *part, const char *wanted)
{
  const char *name, *value, *at = part->facts;
  while (next_fact(&at, part->end, &name, &value))
    if (strcmp(name, wanted) == 0) return value;
  return NULL;
}

/* Of a long value the part where it begins to differ. */
static void append_value(struct tpo_buf *text, const char *value, size_t same)
{
  if (!value || !*value) {
    tpo_buf_puts(text, "not given");
    return;
  }
  value++; /* the = */
  size_t len = strlen(value), from = 0, n;
  if (same > 0) same--;
  if (len > VALUE_MOST && same > VALUE_BEFORE) from = same - VALUE_BEFORE;
  while (from > 0 && ((unsigned char)value[from] & 0xc0) == 0x80) from--;
  n = len - from > VALUE_MOST ? VALUE_MOST : len - from;
  while (n > 0 && from + n < len && ((unsigned char)value[from + n] & 0xc0) == 0x80) n--;
  if (from > 0) tpo_buf_puts(text, "...");
  tpo_visible_append(text, value + from, n);
  if (from + n < len) tpo_buf_puts(text, "...");
  if (len == 0) tpo_buf_puts(text, "empty");
}

/* Whether a fact of a rank contradicts rank 0's; what one of them doesn't know can't. NULL: its program
 * doesn't have that fact. */
static bool differs(const char *theirs, const char *ours)
{
  if (!theirs || !ours) return theirs ? *theirs : *ours;
  return *theirs && *ours && strcmp(theirs, ours) != 0;
}

static void tell_fact(struct tpo_buf *text, const char *name, const char *theirs, const char *ours,
                      size_t nth)
{
  size_t same = 0;
  while (theirs && ours && theirs[same] && theirs[same] == ours[same]) same++;
  tpo_buf_printf(text, nth ? ", %s is " : " %s is ", name);
  append_value(text, theirs, same);
  tpo_buf_puts(text, " there and ");
  append_value(text, ours, same);
  tpo_buf_puts(text, " on rank 0");
}

/* How many facts differ, of which text gets the first few. */
static size_t compare_part(const struct part *ours, const struct part *theirs, struct tpo_buf *text)
{
  size_t n = 0;
  const char *name, *value, *at = ours->facts;
  while (next_fact(&at, ours->end, &name, &value)) {
    const char *other = find_value(theirs, name);
    if (!differs(other, value)) continue;
    if (n < TOLD_MOST) tell_fact(text, name, other, value, n);
    n++;
  }
  at = theirs->facts;
  while (next_fact(&at, theirs->end, &name, &value)) {
    if (find_value(ours, name) || !differs(value, NULL)) continue;
    if (n < TOLD_MOST) tell_fact(text, name, value, NULL, n);
    n++;
  }
  if (n > TOLD_MOST) tpo_buf_printf(text, " (and %zu more)", n - TOLD_MOST);
  return n;
}

/* The others that differ, after the first, which is told in full. */
static void tell_others(struct tpo_buf *text, const struct tpo_buf *list, int n)
{
  if (n == 0) return;
  tpo_buf_printf(text, n == 1 ? "; rank %s" : "; ranks %s", list->data);
  if (n > OTHERS_MOST) tpo_buf_printf(text, " and %d more", n - OTHERS_MOST);
  tpo_buf_puts(text, n == 1 ? " differs too" : " differ too");
}

void comm_tell_difference(const char *what, const char *gathered, size_t len, struct tpo_buf *text)
{
  struct part ours, theirs;
  struct tpo_buf list = {0};
  const char *at = gathered, *end = gathered + len;
  int others = 0;
  if (!next_part(&at, end, &ours)) return;
  for (int rank = 1; next_part(&at, end, &theirs); rank++) {
    struct tpo_buf told = {0};
    size_t n = compare_part(&ours, &theirs, &told);
    if (n > 0 && text->len == 0) {
      tpo_buf_printf(text, "rank %d on host ", rank);
      tpo_visible_append(text, theirs.host, strlen(theirs.host));
      tpo_buf_printf(text, " %s:%s", what, told.failed ? "" : told.data);
    } else if (n > 0 && others++ < OTHERS_MOST) {
      tpo_buf_printf(&list, list.len ? ", %d" : "%d", rank);
    }
    text->failed = text->failed || told.failed || list.failed;
    tpo_buf_free(&told);
  }
  if (!text->failed) tell_others(text, &list, others);
  tpo_buf_free(&list);
}

static int explain(struct tpo_comm *comm, const char *what, const struct tpo_buf *packed,
                   struct tpo_error *err)
{
  void *gathered = NULL;
  size_t len = 0;
  struct tpo_error told = {0};
  int status = tpo_comm_gather_bytes(comm, packed->data, packed->len, &gathered, &len, err);
  if (status < 0) return status;
  if (comm->rank == 0) {
    struct tpo_buf text = {0};
    comm_tell_difference(what, gathered, len, &text);
    if (text.failed) tpo_fail(&told, TPO_E_MEMORY, "out of memory to tell what differs between the ranks");
    if (!text.failed && text.len) tpo_fail(&told, TPO_E_USAGE, "%s", text.data);
    tpo_buf_free(&text);
  }
  free(gathered);
  status = tpo_comm_bcast(comm, &told, sizeof told, 0, err);
  if (status < 0 || told.code == 0) return status;
  told.message[sizeof told.message - 1] = '\0';
  memcpy(comm->agreed, told.message, sizeof comm->agreed);
  return tpo_fail(err, told.code, "%s", told.message);
}

static int same(struct tpo_comm *comm, const char *what, const struct tpo_buf *packed, struct tpo_error *err)
{
  uint64_t *all = (uint64_t *)comm->gathered; /* size <= size * COMM_F64_CHUNK */
  const size_t skipped = sizeof(uint64_t) + strlen(packed->data + sizeof(uint64_t)); /* length and host */
  uint64_t hash = tpo_hash64(packed->data + skipped, packed->len - skipped);
  int status = comm_enter(comm, COMM_SAME, err);
  if (status == 0) status = comm_allgather_u64(comm, hash, all, COMM_SAME, err);
  if (status < 0) return status;
  bool differ = false;
  for (int r = 0; r < comm->size; r++) differ = differ || all[r] != hash;
  return differ ? explain(comm, what, packed, err) : 0;
}

int tpo_comm_same(struct tpo_comm *comm, const char *what, const struct tpo_comm_fact *facts, size_t n,
                  struct tpo_error *err)
{
  if (comm->size == 1) return 0;
  struct tpo_buf packed = {0};
  pack(&packed, facts, n);
  int status = packed.failed ? tpo_fail(err, TPO_E_MEMORY, "out of memory") : 0;
  status = tpo_comm_agree(comm, status, err);
  if (status == 0) status = same(comm, what, &packed, err);
  tpo_buf_free(&packed);
  return status;
}
