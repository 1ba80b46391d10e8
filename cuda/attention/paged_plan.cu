/* Plans attention over the paged cache on the host: which rows share which chunks (paged_plan.cuh). It is
 * made anew for every pass, in time proportional to rows and shared chunks, in memory that is kept. */
#include "paged_plan.cuh"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* Parts beyond this are not worth their memory: then nothing is shared and nothing split. */
static const size_t MOST_PART_BYTES = (size_t)128 << 20;

namespace {

/* A list that keeps its memory. */
template <class T> struct list {
  T *at;
  size_t n, room;

  bool reserve(size_t wanted)
  {
    if (wanted <= room) return true;
    size_t more = room ? 2 * room : 256;
    if (more < wanted) more = wanted;
    void *grown = realloc(at, more * sizeof(T));
    if (!grown) return false;
    at = static_cast<T *>(grown);
    room = more;
    return true;
  }
  bool add(const T &x)
  {
    if (!reserve(n + 1)) return false;
    at[n++] = x;
    return true;
  }
};

/* The rows of one sequence. They see positions first .. last_pos, all of them unless there are gaps. */
struct sequence {
  int32_t seq, first, last_pos, first_row, last_row, gaps;
};

/* Sequences members[begin .. end) that share everything before `chunk`; `fresh`: they begin there, or in the
 * chunk before. */
struct family {
  int32_t begin, end, chunk, fresh;
};

/* Rows see positions from .. tokens - 1, of which the tile has chunks [chunk, end). */
struct tile {
  int32_t seq, chunk, end, from, tokens, first_row, n_rows, wide;
  int32_t begins; /* its rows have no chunks before */
  int32_t whole;  /* one item */
};

} // namespace

struct tpo_paged_plan {
  /* the pass being planned */
  const struct tpo_paged_host *host;
  int max_blocks, block_tokens;
  struct tpo_attention_shape shape;
  struct tpo_paged_tiling tiling;

  list<sequence> sequences;
  list<int32_t> sequence_of;    /* [n_seqs] -1: none of its rows is in the step */
  list<int32_t> next_row;       /* [n] of the same sequence, -1: none */
  list<int32_t> members, moved; /* [sequences] */
  list<int32_t> group, start;   /* [sequences] */
  list<family> families;
  list<uint32_t> seen; /* [blocks] the round that met this block */
  list<int32_t> owner; /* [blocks] the group that has it */
  uint32_t round;
  list<tile> tiles;
  list<tpo_paged_row> rows;
  list<int32_t> n_parts, first_part, empty; /* [n] */
  list<tpo_paged_fold> folds;
  list<int32_t> by_cost, by_chunk;
  list<unsigned char> bytes; /* what goes to the device */
  size_t parts;

  void *device;
  size_t device_bytes;
};

struct tpo_paged_tiling tpo_paged_tiling(const struct tpo_cuda *cuda, struct tpo_attention_shape shape)
{
  struct tpo_paged_tiling t;
  int group = shape.heads / shape.kv_heads;
  t.splits = tpo_ceil_div(group, 16);
  t.heads = tpo_ceil_div(group, t.splits);
  t.narrow = 16 / t.heads;
  t.wide = shape.head_dim <= 128 ? 64 / t.heads : t.narrow;
  t.blocks = cuda->multiprocessors * (shape.head_dim <= 128 ? 2 : 1);
  return t;
}

struct tpo_paged_plan *tpo_paged_plan_new()
{
  return static_cast<struct tpo_paged_plan *>(calloc(1, sizeof(struct tpo_paged_plan)));
}

void tpo_paged_plan_free(struct tpo_paged_plan *plan)
{
  if (!plan) return;
  void *const lists[] = {plan->sequences.at, plan->sequence_of.at, plan->next_row.at, plan->members.at,
                         plan->moved.at,     plan->group.at,       plan->start.at,    plan->families.at,
                         plan->seen.at,      plan->owner.at,       plan->tiles.at,    plan->rows.at,
                         plan->n_parts.at,   plan->first_part.at,  plan->empty.at,    plan->folds.at,
                         plan->by_cost.at,   plan->by_chunk.at,    plan->bytes.at};
  for (void *p : lists) free(p);
  cudaFree(plan->device);
  free(plan);
}

const struct tpo_paged_header *tpo_paged_plan_device(const struct tpo_paged_plan *plan)
{
  return static_cast<const struct tpo_paged_header *>(plan->device);
}

bool tpo_paged_plan_folds(const struct tpo_paged_plan *plan)
{
  return plan->folds.n > 0;
}

static bool reserve_rows(struct tpo_paged_plan *plan, int n)
{
  size_t rows = (size_t)n;
  return plan->sequences.reserve(rows) && plan->sequence_of.reserve((size_t)plan->host->n_seqs) &&
         plan->next_row.reserve(rows) && plan->members.reserve(rows) && plan->moved.reserve(rows) &&
         plan->group.reserve(rows) && plan->start.reserve(rows + 1) && plan->n_parts.reserve(rows) &&
         plan->first_part.reserve(rows) && plan->empty.reserve(rows) && plan->folds.reserve(rows);
}

/* The first position that a row at `pos` sees. */
static int32_t first_seen(const struct tpo_paged_plan *plan, int32_t pos)
{
  return tpo_window_first(plan->shape, pos);
}

static void add_to_sequence(struct tpo_paged_plan *plan, struct sequence *s, int32_t row, int32_t pos)
{
  int32_t first = first_seen(plan, pos);
  plan->next_row.at[s->last_row] = row;
  s->last_row = row;
  if (first > s->last_pos + 1 || pos + 1 < s->first) s->gaps = 1;
  if (first < s->first) s->first = first;
  if (pos > s->last_pos) s->last_pos = pos;
}

static void find_sequences(struct tpo_paged_plan *plan, int n)
{
  plan->sequences.n = 0;
  for (int i = 0; i < plan->host->n_seqs; i++) plan->sequence_of.at[i] = -1;
  for (int i = 0; i < n; i++) {
    int32_t seq = plan->host->seq[i], pos = plan->host->pos[i];
    plan->next_row.at[i] = -1;
    int32_t known = plan->sequence_of.at[seq];
    if (known < 0) {
      plan->sequence_of.at[seq] = (int32_t)plan->sequences.n;
      plan->sequences.at[plan->sequences.n++] = {seq, first_seen(plan, pos), pos, i, i, 0};
    } else {
      add_to_sequence(plan, &plan->sequences.at[known], i, pos);
    }
  }
}

static const int32_t *blocks_of(const struct tpo_paged_plan *plan, int32_t member, int chunk)
{
  return plan->host->blocks + (size_t)plan->sequences.at[member].seq * (size_t)plan->max_blocks +
         (size_t)chunk * PAGED_CHUNK / (size_t)plan->block_tokens;
}

/* Only whole chunks are shared between sequences; `chunk` is none before first_whole. */
static bool has_chunk(const struct tpo_paged_plan *plan, int32_t member, int chunk)
{
  const struct sequence *s = &plan->sequences.at[member];
  return s->last_pos >= (chunk + 1) * PAGED_CHUNK - 1 && !s->gaps;
}

/* The first chunk that it may have whole. */
static int first_whole(const struct sequence *s)
{
  return tpo_ceil_div(s->first, PAGED_CHUNK);
}

static bool same_blocks(const struct tpo_paged_plan *plan, int32_t a, int32_t b, int chunk)
{
  int first = chunk * PAGED_CHUNK / plan->block_tokens;
  int last = ((chunk + 1) * PAGED_CHUNK - 1) / plan->block_tokens;
  return memcmp(blocks_of(plan, a, chunk), blocks_of(plan, b, chunk),
                (size_t)(last - first + 1) * sizeof(int32_t)) == 0;
}

/* The group that owns `block` in this round; a block that is met for the first time becomes `group`'s. */
static int32_t owner_of(struct tpo_paged_plan *plan, int32_t block, int32_t group)
{
  size_t known = plan->seen.room;
  if ((size_t)block >= known) {
    if (!plan->owner.reserve((size_t)block + 1) || !plan->seen.reserve(plan->owner.room)) return group;
    memset(plan->seen.at + known, 0, (plan->seen.room - known) * sizeof(uint32_t));
  }
  if (plan->seen.at[block] != plan->round) {
    plan->seen.at[block] = plan->round;
    plan->owner.at[block] = group;
  }
  return plan->owner.at[block];
}

/* Orders the family by what its members find in its chunk: group g becomes members[start[g] .. start[g + 1]).
 * The number of groups. */
static int find_groups(struct tpo_paged_plan *plan, struct family f)
{
  int n = f.end - f.begin, n_groups = 0;
  int32_t *members = plan->members.at + f.begin, *start = plan->start.at;
  if (++plan->round == 0) {
    memset(plan->seen.at, 0, plan->seen.room * sizeof(uint32_t));
    plan->round = 1;
  }
  for (int i = 0; i < n; i++) {
    int32_t group = n_groups;
    if (has_chunk(plan, members[i], f.chunk)) {
      int32_t owner = owner_of(plan, blocks_of(plan, members[i], f.chunk)[0], group);
      if (owner < group && same_blocks(plan, start[owner], members[i], f.chunk)) group = owner;
    }
    if (group == n_groups) start[n_groups++] = members[i]; /* its first member, for now */
    plan->group.at[i] = group;
  }
  memset(start, 0, (size_t)(n_groups + 1) * sizeof *start);
  for (int i = 0; i < n; i++) start[plan->group.at[i] + 1]++;
  for (int g = 0; g < n_groups; g++) start[g + 1] += start[g];
  for (int i = 0; i < n; i++) plan->moved.at[start[plan->group.at[i]]++] = members[i];
  memcpy(members, plan->moved.at, (size_t)n * sizeof *members);
  for (int g = n_groups; g > 0; g--) start[g] = f.begin + start[g - 1];
  start[0] = f.begin;
  return n_groups;
}

/* The row at `pos` has some of the chunks [chunk, end). */
static bool meets(const struct tpo_paged_plan *plan, int32_t pos, int chunk, int end)
{
  return pos / PAGED_CHUNK >= chunk && first_seen(plan, pos) / PAGED_CHUNK < end;
}

/* A tile for the row at `pos` and some of the `left` rows that are to follow; *room: for how many. */
static bool begin_tile(struct tpo_paged_plan *plan, int32_t seq, int32_t pos, int left, int *room)
{
  bool wide = left > plan->tiling.narrow && plan->tiling.wide > plan->tiling.narrow;
  *room = wide ? plan->tiling.wide : plan->tiling.narrow;
  if (*room > left) *room = left;
  int32_t from = first_seen(plan, pos);
  return plan->tiles.add({seq, INT_MAX, 0, from, pos + 1, (int32_t)plan->rows.n, 0, wide, 1, 0});
}

/* What a row at `pos` sees would leave a gap: there is no telling what blocks would be found in it. */
static bool leaves_gap(const struct tpo_paged_plan *plan, const struct tile *t, int32_t pos)
{
  return first_seen(plan, pos) > t->tokens || pos + 1 < t->from;
}

/* A row at `pos` joins the tile with what it has of chunks [chunk, end). */
static void stretch_tile(const struct tpo_paged_plan *plan, struct tile *t, int32_t pos, int chunk, int end)
{
  int32_t from = first_seen(plan, pos), first = from / PAGED_CHUNK, last = pos / PAGED_CHUNK + 1;
  if (first < chunk) t->begins = 0;
  if (first < chunk) first = chunk;
  if (last > end) last = end;
  if (first < t->chunk) t->chunk = first;
  if (last > t->end) t->end = last;
  if (from < t->from) t->from = from;
  if (pos >= t->tokens) t->tokens = pos + 1;
  t->n_rows++;
}

/* Tiles for chunks [chunk, end) of the members' rows. */
static bool add_tiles(struct tpo_paged_plan *plan, int begin_member, int end_member, int chunk, int end)
{
  const int32_t *pos = plan->host->pos;
  int left = 0, room = 0;
  for (int m = begin_member; m < end_member; m++) {
    const struct sequence *s = &plan->sequences.at[plan->members.at[m]];
    for (int i = s->first_row; i >= 0; i = plan->next_row.at[i]) left += meets(plan, pos[i], chunk, end);
  }
  struct tile *t = NULL;
  for (int m = begin_member; m < end_member; m++) {
    const struct sequence *s = &plan->sequences.at[plan->members.at[m]];
    for (int i = s->first_row; i >= 0; i = plan->next_row.at[i]) {
      if (!meets(plan, pos[i], chunk, end)) continue;
      if (room == 0 || leaves_gap(plan, t, pos[i])) {
        if (!begin_tile(plan, s->seq, pos[i], left, &room)) return false;
        t = &plan->tiles.at[plan->tiles.n - 1];
      }
      if (!plan->rows.add({i, pos[i], 0, 0})) return false;
      stretch_tile(plan, t, pos[i], chunk, end);
      room--;
      left--;
    }
  }
  return true;
}

/* All members find the same blocks in the chunks from f.chunk to the returned one. */
static int shared_end(const struct tpo_paged_plan *plan, int begin, int end, int chunk)
{
  const int32_t *members = plan->members.at;
  for (;; chunk++)
    for (int m = begin; m < end; m++)
      if (!has_chunk(plan, members[m], chunk) || !same_blocks(plan, members[begin], members[m], chunk))
        return chunk;
}

/* Families of sequences that may share from their first whole chunk on: members in order of that chunk, those
 * with the same in the order that they have. */
static bool find_families(struct tpo_paged_plan *plan)
{
  int n = (int)plan->sequences.n, highest = 0;
  for (int i = 0; i < n; i++)
    if (first_whole(&plan->sequences.at[i]) > highest) highest = first_whole(&plan->sequences.at[i]);
  if (!plan->by_chunk.reserve((size_t)highest + 2)) return false;
  int32_t *at = plan->by_chunk.at; /* at[c]: where the next member that begins with chunk c goes */
  memset(at, 0, ((size_t)highest + 2) * sizeof *at);
  for (int i = 0; i < n; i++) at[first_whole(&plan->sequences.at[i]) + 1]++;
  for (int c = 0; c <= highest; c++) {
    int32_t begin = at[c], end = begin + at[c + 1];
    at[c + 1] = end;
    if (end > begin && !plan->families.add({begin, end, c, 1})) return false;
  }
  for (int i = 0; i < n; i++) plan->members.at[at[first_whole(&plan->sequences.at[i])]++] = i;
  return true;
}

/* Tiles for what sequences begin with before their first whole chunk. */
static bool add_beginnings(struct tpo_paged_plan *plan, int begin, int end, int chunk)
{
  for (int m = begin; chunk > 0 && m < end; m++)
    if (!add_tiles(plan, m, m + 1, 0, chunk)) return false;
  return true;
}

static bool find_tiles(struct tpo_paged_plan *plan, bool share)
{
  int n = (int)plan->sequences.n;
  plan->tiles.n = plan->rows.n = plan->families.n = 0;
  if (!share) {
    for (int i = 0; i < n; i++) plan->members.at[i] = i;
    for (int i = 0; i < n; i++)
      if (!add_tiles(plan, i, i + 1, 0, INT_MAX)) return false;
    return true;
  }
  if (!find_families(plan)) return false;
  while (plan->families.n > 0) {
    struct family f = plan->families.at[--plan->families.n];
    int n_groups = find_groups(plan, f);
    for (int g = 0; g < n_groups; g++) {
      int begin = plan->start.at[g], end = plan->start.at[g + 1];
      bool alone = end - begin == 1;
      int shared = alone ? INT_MAX : shared_end(plan, begin, end, f.chunk + 1);
      if (!alone && f.fresh && !add_beginnings(plan, begin, end, f.chunk)) return false;
      if (!add_tiles(plan, begin, end, alone && f.fresh ? 0 : f.chunk, shared)) return false;
      if (!alone && !plan->families.add({begin, end, shared, 0})) return false;
    }
  }
  return true;
}

/* Before which of the tile's chunks a row begins; after how many it ends. */
static int first_chunk_of(const struct tpo_paged_plan *plan, const struct tile *t, int pos)
{
  int first = first_seen(plan, pos) / PAGED_CHUNK;
  return first > t->chunk ? first - t->chunk : 0;
}

static int last_chunk_of(const struct tile *t, int pos)
{
  int last = pos / PAGED_CHUNK + 1;
  return (last < t->end ? last : t->end) - t->chunk;
}

/* Which tiles are one item: those of one chunk, and those in which their rows begin that are no more than two
 * thirds of what a block of threads gets anyway. Then where parts lie: a row that begins in a later chunk of a
 * tile of several items has places that stay empty before its first part. */
static void place_parts(struct tpo_paged_plan *plan, int n, int works_of_item, bool split)
{
  size_t cost = 0;
  for (size_t i = 0; i < plan->tiles.n; i++)
    cost += (size_t)(plan->tiles.at[i].end - plan->tiles.at[i].chunk);
  size_t longest = split ? 2 * cost * (size_t)works_of_item / (3 * (size_t)plan->tiling.blocks) : SIZE_MAX;
  memset(plan->n_parts.at, 0, (size_t)n * sizeof(int32_t));
  for (size_t i = 0; i < plan->tiles.n; i++) {
    struct tile *t = &plan->tiles.at[i];
    size_t chunks = (size_t)(t->end - t->chunk);
    t->whole = chunks == 1 || (t->begins && chunks <= longest);
    for (int r = t->first_row; r < t->first_row + t->n_rows; r++) {
      struct tpo_paged_row *row = &plan->rows.at[r];
      int32_t *parts = &plan->n_parts.at[row->row];
      if (*parts == 0) plan->empty.at[row->row] = t->whole ? 0 : first_chunk_of(plan, t, row->pos);
      row->part = *parts;
      *parts += t->whole ? 1 : last_chunk_of(t, row->pos);
    }
  }
  plan->parts = plan->folds.n = 0;
  for (int i = 0; i < n; i++) {
    int32_t empty = plan->empty.at[i], parts = plan->n_parts.at[i] - empty, first = (int32_t)plan->parts;
    plan->first_part.at[i] = parts > 1 ? first : -1;
    if (parts <= 1) continue;
    plan->folds.at[plan->folds.n++] = {i, first + empty, parts, 0};
    plan->parts += (size_t)(empty + parts);
  }
  for (size_t r = 0; r < plan->rows.n; r++) {
    struct tpo_paged_row *row = &plan->rows.at[r];
    int32_t first = plan->first_part.at[row->row];
    row->part = first < 0 ? -1 : first + row->part;
  }
}

static int cost_of(const struct tile *t)
{
  return t->whole ? t->end - t->chunk : 1;
}

/* Items in order of falling cost, and where each begins. */
static bool write_items(struct tpo_paged_plan *plan, struct tpo_paged_item *items, int32_t *from)
{
  int highest = 1;
  for (size_t i = 0; i < plan->tiles.n; i++)
    if (cost_of(&plan->tiles.at[i]) > highest) highest = cost_of(&plan->tiles.at[i]);
  if (!plan->by_cost.reserve((size_t)highest + 2)) return false;
  int32_t *at = plan->by_cost.at; /* at[c]: where the next item of cost c goes */
  memset(at, 0, ((size_t)highest + 2) * sizeof *at);
  for (size_t i = 0; i < plan->tiles.n; i++) {
    const struct tile *t = &plan->tiles.at[i];
    at[cost_of(t) - 1] += t->whole ? 1 : t->end - t->chunk;
  }
  for (int c = highest - 1; c >= 0; c--) at[c] += at[c + 1];
  for (size_t i = 0; i < plan->tiles.n; i++) {
    const struct tile *t = &plan->tiles.at[i];
    int step = t->whole ? t->end - t->chunk : 1;
    for (int chunk = t->chunk; chunk < t->end; chunk += step) {
      int32_t item = at[cost_of(t)]++;
      from[item] = t->from;
      items[item] = {t->seq,       chunk,     chunk + step,     t->tokens,
                     t->first_row, t->n_rows, chunk - t->chunk, t->wide};
    }
  }
  return true;
}

static size_t count_items(const struct tpo_paged_plan *plan)
{
  size_t n = 0;
  for (size_t i = 0; i < plan->tiles.n; i++)
    n += plan->tiles.at[i].whole ? 1 : (size_t)(plan->tiles.at[i].end - plan->tiles.at[i].chunk);
  return n;
}

static bool write_bytes(struct tpo_paged_plan *plan)
{
  struct tpo_paged_header header = {};
  size_t folds = sizeof header, rows = folds + plan->folds.n * sizeof(tpo_paged_fold);
  size_t items = rows + plan->rows.n * sizeof(tpo_paged_row), n_items = count_items(plan);
  size_t from = items + n_items * sizeof(tpo_paged_item), bytes = from + n_items * sizeof(int32_t);
  if (!plan->bytes.reserve(bytes)) return false;
  plan->bytes.n = bytes;
  header.n_items = (int32_t)n_items;
  header.n_folds = (int32_t)plan->folds.n;
  header.folds = (uint32_t)folds;
  header.rows = (uint32_t)rows;
  header.items = (uint32_t)items;
  header.from = (uint32_t)from;
  memcpy(plan->bytes.at, &header, sizeof header);
  memcpy(plan->bytes.at + folds, plan->folds.at, plan->folds.n * sizeof(tpo_paged_fold));
  memcpy(plan->bytes.at + rows, plan->rows.at, plan->rows.n * sizeof(tpo_paged_row));
  return write_items(plan, reinterpret_cast<struct tpo_paged_item *>(plan->bytes.at + items),
                     reinterpret_cast<int32_t *>(plan->bytes.at + from));
}

static size_t power_of_two(size_t at_least, size_t n)
{
  while (at_least < n) at_least *= 2;
  return at_least;
}

/* Recorded work has the plan's address: it stays, unless the plan outgrows it. */
static bool to_device(struct tpo_cuda *cuda, struct tpo_paged_plan *plan)
{
  if (plan->bytes.n > plan->device_bytes) {
    size_t bytes = power_of_two(65536, plan->bytes.n);
    if (plan->device) tpo_cuda_forget(&cuda->base);
    tpo_cuda_free(&cuda->base, plan->device); /* waits for the work that uses it */
    plan->device = NULL;
    plan->device_bytes = 0;
    struct tpo_error err = {};
    if (tpo_cuda_alloc(&cuda->base, bytes, &plan->device, &err) < 0) {
      tpo_cuda_fail(cuda, err.code, "the plan of a pass: %s", err.message);
      return false;
    }
    plan->device_bytes = bytes;
  }
  tpo_cuda_upload(&cuda->base, plan->device, plan->bytes.at, plan->bytes.n);
  return true;
}

bool tpo_paged_plan_make(struct tpo_cuda *cuda, struct tpo_paged_plan *plan,
                         const struct tpo_paged_host *host, int n, int max_blocks,
                         struct tpo_attention_shape shape, int block_tokens)
{
  plan->host = host;
  plan->max_blocks = max_blocks;
  plan->block_tokens = block_tokens;
  plan->shape = shape;
  plan->tiling = tpo_paged_tiling(cuda, shape);
  size_t part_bytes = (size_t)shape.heads * (size_t)tpo_paged_part_floats(shape.head_dim) * sizeof(float);
  int works_of_item = shape.kv_heads * plan->tiling.splits;
  bool made = reserve_rows(plan, n);
  if (made) {
    find_sequences(plan, n);
    made = find_tiles(plan, true);
  }
  if (made) place_parts(plan, n, works_of_item, true);
  if (made && plan->parts * part_bytes > MOST_PART_BYTES) {
    made = find_tiles(plan, false);
    if (made) place_parts(plan, n, works_of_item, false);
  }
  made = made && write_bytes(plan);
  plan->host = NULL;
  if (!made) {
    tpo_cuda_fail(cuda, TPO_E_MEMORY, "out of memory for the plan of a pass");
    return false;
  }
  /* Never none: recorded work keeps the address that it met. */
  return tpo_cuda_scratch(cuda, TPO_CUDA_SLOT_PAGED,
                          power_of_two((size_t)1 << 20, plan->parts * part_bytes)) &&
         to_device(cuda, plan);
}

extern "C" void tpo_cuda_paged_counts(const void *plan, size_t *read, size_t *served, size_t *parts)
{
  const struct tpo_paged_plan *p = static_cast<const struct tpo_paged_plan *>(plan);
  *read = *served = 0;
  *parts = p->parts;
  for (size_t i = 0; i < p->tiles.n; i++) {
    const struct tile *t = &p->tiles.at[i];
    *read += (size_t)(t->end - t->chunk);
    for (int r = t->first_row; r < t->first_row + t->n_rows; r++)
      *served += (size_t)(last_chunk_of(t, p->rows.at[r].pos) - first_chunk_of(p, t, p->rows.at[r].pos));
  }
}
