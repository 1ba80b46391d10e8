/* Pairs as bytes: ref_model and output_tokens, then of each row its numbers, tokens, masks and id, in this machine's byte
 * order. They are sent between ranks and kept in a journal, whose format they are part of: another layout needs
 * another MAGIC. */
#include "store/pairs_pack.h"

#include <string.h>

enum {
  N_PARTS = 6,
  MAGIC = 0x50524d31,
  ALIGNMENT = 8 /* where each row and each part of one begins */
};

/* No holes, so that equal pairs give equal bytes. */
struct packed_row {
  uint32_t magic;
  int32_t chosen_row, rejected_row, n_prompt, n_chosen, n_rejected, step, unused;
  double chosen_score, rejected_score, margin, chosen_ref_logprob, rejected_ref_logprob;
  int64_t place;
  uint64_t id_bytes; /* NUL included */
};

struct part {
  const void *bytes;
  size_t n;
};

static size_t aligned(size_t n)
{
  return (n + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

static void append(struct tpo_buf *out, const void *bytes, size_t n)
{
  static const char zeros[ALIGNMENT];
  tpo_buf_append(out, bytes, n);
  tpo_buf_append(out, zeros, aligned(n) - n);
}

/* Sizes in the order that the parts are sent in; masks are there for every token (tpo_pairs_add). */
static void list_parts(const struct tpo_pair_row *row, size_t id_bytes, struct part parts[N_PARTS])
{
  parts[0] = (struct part){row->prompt_ids, (size_t)row->n_prompt * sizeof *row->prompt_ids};
  parts[1] = (struct part){row->chosen_ids, (size_t)row->n_chosen * sizeof *row->chosen_ids};
  parts[2] = (struct part){row->rejected_ids, (size_t)row->n_rejected * sizeof *row->rejected_ids};
  parts[3] = (struct part){row->chosen_mask, (size_t)row->n_chosen};
  parts[4] = (struct part){row->rejected_mask, (size_t)row->n_rejected};
  parts[5] = (struct part){row->prompt_id, id_bytes};
}

static struct packed_row pack_numbers(const struct tpo_pair_row *row)
{
  return (struct packed_row){.magic = MAGIC,
                             .chosen_row = row->chosen_row,
                             .rejected_row = row->rejected_row,
                             .n_prompt = row->n_prompt,
                             .n_chosen = row->n_chosen,
                             .n_rejected = row->n_rejected,
                             .step = row->step,
                             .chosen_score = row->chosen_score,
                             .rejected_score = row->rejected_score,
                             .margin = row->margin,
                             .chosen_ref_logprob = row->chosen_ref_logprob,
                             .rejected_ref_logprob = row->rejected_ref_logprob,
                             .place = row->place,
                             .id_bytes = strlen(row->prompt_id) + 1};
}

static struct tpo_pair_row unpack_numbers(const struct packed_row *packed)
{
  return (struct tpo_pair_row){.chosen_row = packed->chosen_row,
                               .rejected_row = packed->rejected_row,
                               .n_prompt = packed->n_prompt,
                               .n_chosen = packed->n_chosen,
                               .n_rejected = packed->n_rejected,
                               .step = packed->step,
                               .chosen_score = packed->chosen_score,
                               .rejected_score = packed->rejected_score,
                               .margin = packed->margin,
                               .chosen_ref_logprob = packed->chosen_ref_logprob,
                               .rejected_ref_logprob = packed->rejected_ref_logprob,
                               .place = packed->place};
}

int pairs_pack(const struct tpo_pairs *pairs, struct tpo_buf *out, struct tpo_error *err)
{
  append(out, pairs->ref_model, sizeof pairs->ref_model);
  append(out, &pairs->output_tokens, sizeof pairs->output_tokens);
  for (size_t i = 0; i < pairs->n; i++) {
    struct part parts[N_PARTS];
    const struct packed_row packed = pack_numbers(&pairs->rows[i]);
    list_parts(&pairs->rows[i], packed.id_bytes, parts);
    append(out, &packed, sizeof packed);
    for (int p = 0; p < N_PARTS; p++) append(out, parts[p].bytes, parts[p].n);
  }
  return out->failed ? tpo_fail(err, TPO_E_MEMORY, "no memory to send %zu pairs", pairs->n) : 0;
}

/* The next n bytes, *at moved past them; NULL: there are not so many. */
static const void *take(const char **at, const char *end, size_t n)
{
  const char *from = *at;
  if (aligned(n) < n || (size_t)(end - from) < aligned(n)) return NULL;
  *at += aligned(n);
  return from;
}

static bool take_row(const char **at, const char *end, struct tpo_pair_row *row)
{
  struct packed_row packed;
  struct part parts[N_PARTS];
  const void *head = take(at, end, sizeof packed);
  if (!head) return false;
  memcpy(&packed, head, sizeof packed);
  if (packed.magic != MAGIC || packed.n_prompt < 0 || packed.n_chosen < 0 || packed.n_rejected < 0 ||
      packed.step < 0)
    return false;
  *row = unpack_numbers(&packed);
  list_parts(row, packed.id_bytes, parts);
  for (int p = 0; p < N_PARTS; p++)
    if (!(parts[p].bytes = take(at, end, parts[p].n))) return false;
  row->prompt_ids = parts[0].bytes;
  row->chosen_ids = parts[1].bytes;
  row->rejected_ids = parts[2].bytes;
  row->chosen_mask = parts[3].bytes;
  row->rejected_mask = parts[4].bytes;
  row->prompt_id = parts[5].bytes;
  return packed.id_bytes > 0 && row->prompt_id[packed.id_bytes - 1] == '\0';
}

int pairs_unpack(struct tpo_pairs *pairs, const void *bytes, size_t len, struct tpo_error *err)
{
  const char *at = bytes, *end = at + len;
  *pairs = (struct tpo_pairs){0};
  const char *model = take(&at, end, sizeof pairs->ref_model);
  const int32_t *output_tokens = take(&at, end, sizeof *output_tokens);
  int status = model && output_tokens && model[sizeof pairs->ref_model - 1] == '\0'
                   ? 0
                   : tpo_fail(err, TPO_E_INPUT, "the bytes of pairs are damaged");
  if (status == 0) {
    memcpy(pairs->ref_model, model, sizeof pairs->ref_model);
    pairs->output_tokens = *output_tokens;
  }
  while (status == 0 && at < end) {
    size_t place = (size_t)(at - (const char *)bytes);
    struct tpo_pair_row row;
    if (take_row(&at, end, &row))
      status = tpo_pairs_add(pairs, &row, err);
    else
      status = tpo_fail(err, TPO_E_INPUT, "a pair's bytes are cut or damaged at byte %zu of %zu", place, len);
  }
  if (status < 0) tpo_pairs_free(pairs);
  return status;
}
