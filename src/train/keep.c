/* The state of training while it goes on, kept in a folder, so that it can be taken up on any number of ranks.
 *
 * A state is a folder of journals in it, "state-NUMBER.STEPS": of each rank its shard in pieces, of rank 0 the
 * JSON state (save.c) too. It has ".part" at its end until all of it is on the disk, and replaces the one
 * before only then. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/file.h"
#include "base/memory.h"
#include "base/shard.h"
#include "store/journal/journal.h"
#include "train/state.h"

enum { PIECE = 16 << 20 /* elements of an entry */, NAME = 80 };

struct state_name {
  long long number, steps;
  bool whole;
};

static bool read_name(const char *name, struct state_name *out)
{
  int len = 0;
  if (sscanf(name, "state-%lld.%lld%n", &out->number, &out->steps, &len) != 2) return false;
  out->whole = name[len] == '\0';
  return out->whole || strcmp(name + len, ".part") == 0;
}

/* The newest whole state; false where there is none. */
static bool newest(const char *folder, struct state_name *out)
{
  bool found = false;
  DIR *dir = opendir(folder);
  if (!dir) return false;
  for (struct dirent *entry; (entry = readdir(dir));) {
    struct state_name name;
    if (!read_name(entry->d_name, &name) || !name.whole || (found && name.number < out->number)) continue;
    *out = name;
    found = true;
  }
  closedir(dir);
  return found;
}

static int state_path(char out[4096], const char *folder, const struct state_name *name, const char *end,
                      struct tpo_error *err)
{
  char text[NAME];
  snprintf(text, sizeof text, "state-%06lld.%lld%s", name->number, name->steps, end);
  return tpo_path_join(out, 4096, folder, text, err);
}

/* Removes all states but the one of this number; -1: all of them. */
static int drop_states(const char *folder, long long but, struct tpo_error *err)
{
  int status = journal_refuse_link(folder, err);
  if (status < 0) return status;
  DIR *dir = opendir(folder);
  if (!dir && errno == ENOENT) return 0;
  if (!dir) return tpo_fail(err, TPO_E_IO, "%s: the folder can't be read: %s", folder, strerror(errno));
  for (struct dirent *entry; status == 0 && (entry = readdir(dir));) {
    struct state_name name;
    char path[4096];
    if (!read_name(entry->d_name, &name) || (name.whole && name.number == but)) continue;
    status = tpo_path_join(path, sizeof path, folder, entry->d_name, err);
    if (status == 0) status = journal_remove(path, err);
  }
  closedir(dir);
  return status;
}

int tpo_trainer_forget(const char *folder, struct tpo_error *err)
{
  return drop_states(folder, -1, err);
}

bool tpo_trainer_kept(const char *folder, int64_t *steps)
{
  struct state_name name = {0};
  bool found = newest(folder, &name);
  *steps = name.steps;
  return found;
}

int tpo_trainer_work(struct tpo_trainer *t, const struct tpo_pairs *pairs, char **work, struct tpo_error *err)
{
  char hash[33];
  struct tpo_buf text = {0};
  const char *model = tpo_model_hash(t->model);
  int status = pairs ? train_pairs_hash(pairs, true, hash, err) : 0;
  if (status < 0) return status;
  tpo_buf_printf(&text, "work: training%s\nmodel.dtype: %s\nmodel: %s\n", pairs ? "" : " by updates",
                 tpo_model_dtype(t->model) == TPO_DTYPE_BF16 ? "bf16" : "fp32", model ? model : "");
  if (pairs) {
    tpo_buf_printf(&text, "reference model: %s\npairs: %s\n", pairs->ref_model, hash);
    train_tell_rotation(t->model, pairs, &text);
  }
  if (text.failed || !model) status = tpo_fail(err, TPO_E_MEMORY, "no memory for the state of training");
  if (status == 0)
    *work = text.data;
  else
    tpo_buf_free(&text);
  return status;
}

struct array {
  const char *name;
  float *shard; /* [shard_count] */
};
enum { ARRAYS = 3 };

static void list_arrays(const struct tpo_trainer *t, struct array out[ARRAYS])
{
  const struct array arrays[ARRAYS] = {{"master", t->master}, {"m", t->m}, {"v", t->v}};
  memcpy(out, arrays, sizeof arrays);
}

/* A piece's key: the array, and its first element of the whole array. */
static size_t piece_key(char key[NAME], const char *array, size_t first)
{
  return (size_t)snprintf(key, NAME, "%s %zu", array, first);
}

static size_t piece_count(size_t left)
{
  return left < PIECE ? left : PIECE;
}

size_t train_keep_bytes(size_t shard_count)
{
  return piece_count(shard_count) * sizeof(float);
}

static int append_array(struct tpo_trainer *t, struct journal *journal, const struct array *array,
                        float *host, struct tpo_error *err)
{
  const struct tpo_ops *ops = tpo_ops(t->backend);
  int status = 0;
  for (size_t at = 0; at < t->shard_count && status == 0; at += PIECE) {
    char key[NAME];
    size_t n = piece_count(t->shard_count - at), n_key = piece_key(key, array->name, t->shard_first + at);
    ops->download(t->backend, host, array->shard + at, n * sizeof *host);
    status = ops->check(t->backend, err);
    if (status == 0) status = journal_append(journal, key, n_key, host, n * sizeof *host, err);
  }
  return status;
}

/* This rank's part of all arrays, onto the disk. */
static int append_shard(struct tpo_trainer *t, struct journal *journal, struct tpo_error *err)
{
  struct array arrays[ARRAYS];
  list_arrays(t, arrays);
  float *host = tpo_calloc(piece_count(t->shard_count), sizeof *host, err);
  int status = host ? 0 : TPO_E_MEMORY;
  for (int i = 0; i < ARRAYS && status == 0; i++) status = append_array(t, journal, &arrays[i], host, err);
  free(host);
  return status < 0 ? status : journal_sync(journal, err);
}

/* Rank 0's last entries: how the arrays are cut, and what else is known. */
static int append_state(const struct tpo_trainer *t, struct journal *journal, const char *extra, bool weights,
                        struct tpo_error *err)
{
  char layout[NAME], *state = NULL;
  int n = snprintf(layout, sizeof layout, "%d ranks, %zu parameters", tpo_comm_size(t->comm), t->n_params);
  int status = train_state_json(t, extra, weights, &state, err);
  if (status == 0) status = journal_append(journal, "layout", 6, layout, (size_t)n, err);
  if (status == 0) status = journal_append(journal, "state", 5, state, strlen(state), err);
  free(state);
  return status < 0 ? status : journal_sync(journal, err);
}

/* The new state's name, and its folder as rank 0 makes it, seen by all ranks. */
static int begin_state(struct tpo_trainer *t, const char *folder, struct state_name *name, char part[4096],
                       struct tpo_error *err)
{
  struct state_name last = {0};
  bool first = tpo_comm_rank(t->comm) == 0;
  if (first) newest(folder, &last);
  *name = (struct state_name){.number = last.number + 1, .steps = t->step};
  int status = tpo_comm_bcast(t->comm, name, sizeof *name, 0, err);
  if (status < 0) return status;
  status = state_path(part, folder, name, ".part", err);
  if (first && status == 0)
    status = drop_states(folder, last.number, err); /* what attempts left unfinished */
  if (first && status == 0) status = tpo_make_dirs(part, err);
  status = tpo_comm_agree(t->comm, status, err);
  if (status == 0 && !tpo_is_dir(part))
    status = tpo_fail(err, TPO_E_IO,
                      "%s: the folder that rank 0 made is not there; it must be on a file system that all "
                      "ranks see",
                      part);
  return tpo_comm_agree(t->comm, status, err);
}

static int write_state(struct tpo_trainer *t, const char *part, const char *work, const char *extra,
                       bool weights, struct tpo_error *err)
{
  struct journal *journal = NULL;
  int rank = tpo_comm_rank(t->comm);
  int status = journal_open(&journal, part, work, rank, JOURNAL_WRITE, err);
  if (status == 0 && weights) status = append_shard(t, journal, err);
  status = tpo_comm_agree(t->comm, status, err);
  if (status == 0) {
    if (rank == 0) status = append_state(t, journal, extra, weights, err);
    status = tpo_comm_agree(t->comm, status, err);
  }
  journal_close(journal);
  return status;
}

/* Rank 0: the state counts, and those before it go. */
static int commit_state(const char *folder, const struct state_name *name, const char *part,
                        struct tpo_error *err)
{
  char path[4096];
  int status = state_path(path, folder, name, "", err);
  if (status == 0 && rename(part, path) < 0)
    status = tpo_fail(err, TPO_E_IO, "%s: can't be made: %s", path, strerror(errno));
  if (status == 0) tpo_sync_folder(folder);
  return status < 0 ? status : drop_states(folder, name->number, err);
}

int tpo_trainer_keep(struct tpo_trainer *t, const char *folder, const char *work, const char *extra,
                     bool weights, struct tpo_error *err)
{
  struct state_name name;
  char part[4096];
  bool first = tpo_comm_rank(t->comm) == 0;
  int status = begin_state(t, folder, &name, part, err);
  if (status == 0) status = write_state(t, part, work, extra, weights, err);
  if (status < 0) {
    if (first && status != TPO_E_COMM) journal_remove(part, NULL); /* a full disk has its room again */
    return status;
  }
  return tpo_comm_agree(t->comm, first ? commit_state(folder, &name, part, err) : 0, err);
}

/* A state that is being read. */
struct kept_state {
  char path[4096];
  struct journal *journal;
  struct train_saved saved;
  char *text; /* the JSON state */
  int ranks;  /* that wrote it */
};

static int open_state(const struct tpo_trainer *t, const char *work, struct kept_state *k,
                      struct tpo_error *err)
{
  struct journal_piece piece;
  size_t n_params = 0;
  char layout[NAME] = "";
  int status = journal_open(&k->journal, k->path, work, tpo_comm_rank(t->comm), JOURNAL_READ, err);
  if (status < 0) return status;
  int found = journal_find(k->journal, "layout", 6, &piece, err);
  if (found > 0 && piece.len < sizeof layout) memcpy(layout, piece.bytes, piece.len);
  if (found > 0 && sscanf(layout, "%d ranks, %zu parameters", &k->ranks, &n_params) != 2) found = 0;
  if (found > 0) found = journal_find(k->journal, "state", 5, &piece, err);
  if (found < 0) return found;
  if (found == 0 || k->ranks < 1 || n_params != t->n_params)
    return tpo_fail(err, TPO_E_INPUT, "%s: the state is not whole", k->path);
  k->text = tpo_calloc(piece.len + 1, 1, err);
  if (!k->text) return TPO_E_MEMORY;
  memcpy(k->text, piece.bytes, piece.len);
  return train_read_state(t, k->text, piece.len, k->path, &k->saved, err);
}

/* Values of an array from element `first` on, to this rank's shard where they belong there. */
static int take_piece(struct tpo_trainer *t, const struct array *array, size_t first,
                      const struct journal_piece *piece, struct tpo_error *err)
{
  const struct tpo_ops *ops = tpo_ops(t->backend);
  size_t at = first, n = piece->len / sizeof(float);
  size_t owned = tpo_overlap(&at, n, t->shard_first, t->shard_count), to = at - t->shard_first;
  float *values = tpo_calloc(owned, sizeof *values, err);
  bool rounds = array->shard == t->master && t->weights;
  uint16_t *rounded = rounds && values ? tpo_calloc(owned, sizeof *rounded, err) : NULL;
  int status = values && (rounded || !rounds) ? 0 : TPO_E_MEMORY;
  if (status == 0) {
    memcpy(values, (const char *)piece->bytes + (at - first) * sizeof *values, owned * sizeof *values);
    ops->upload(t->backend, array->shard + to, values, owned * sizeof *values);
  }
  if (status == 0 && rounds) {
    tpo_convert(rounded, TPO_BF16, values, TPO_F32, owned);
    ops->upload(t->backend, (uint16_t *)t->weights + to, rounded, owned * sizeof *rounded);
  }
  if (status == 0) status = ops->check(t->backend, err);
  free(values);
  free(rounded);
  return status;
}

/* One rank's pieces of an array, as far as this one needs them: found and whole, and taken where `take`. */
static int read_pieces(struct tpo_trainer *t, const struct kept_state *k, const struct array *array,
                       int writer, bool take, struct tpo_error *err)
{
  size_t first, count;
  int status = 0;
  tpo_shard(t->n_params, writer, k->ranks, &first, &count);
  for (size_t at = 0; at < count && status == 0; at += PIECE) {
    char key[NAME];
    struct journal_piece piece;
    size_t n = piece_count(count - at), begin = first + at;
    if (tpo_overlap(&begin, n, t->shard_first, t->shard_count) == 0) continue;
    int found = journal_find(k->journal, key, piece_key(key, array->name, first + at), &piece, err);
    if (found < 0) return found;
    if (found == 0 || piece.len != n * sizeof(float))
      return tpo_fail(err, TPO_E_INPUT, "%s: the entry `%s` is missing", k->path, key);
    if (take) status = take_piece(t, array, first + at, &piece, err);
  }
  return status;
}

static int read_arrays(struct tpo_trainer *t, const struct kept_state *k, bool take, struct tpo_error *err)
{
  struct array arrays[ARRAYS];
  int status = 0;
  list_arrays(t, arrays);
  for (int i = 0; i < ARRAYS; i++)
    for (int writer = 0; writer < k->ranks && status == 0; writer++)
      status = read_pieces(t, k, &arrays[i], writer, take, err);
  return status;
}

/* Nothing of the trainer is touched before all of the state has been found. */
static int take_state(struct tpo_trainer *t, const char *work, struct kept_state *k, struct tpo_error *err)
{
  int status = open_state(t, work, k, err);
  bool weights = status == 0 && k->saved.optimizer;
  if (weights) status = read_arrays(t, k, false, err);
  status = tpo_comm_agree(t->comm, status, err);
  if (status < 0) return status;
  if (weights) {
    status = tpo_comm_agree(t->comm, read_arrays(t, k, true, err), err);
    if (status == 0) status = exchange_weights(t, t->weights ? t->weights : t->master, err);
  }
  if (status == 0) train_set_state(t, &k->saved);
  return status;
}

int tpo_trainer_take_up(struct tpo_trainer *t, const char *folder, const char *work, char **state,
                        struct tpo_error *err)
{
  struct state_name name = {0};
  struct kept_state k = {0};
  *state = NULL;
  if (tpo_comm_rank(t->comm) == 0) newest(folder, &name);
  int status = tpo_comm_bcast(t->comm, &name, sizeof name, 0, err);
  if (status < 0 || !name.whole) return status;
  status = tpo_comm_agree(t->comm, state_path(k.path, folder, &name, "", err), err);
  if (status == 0) status = take_state(t, work, &k, err);
  journal_close(k.journal);
  if (status == 0)
    *state = k.text;
  else
    free(k.text);
  return status < 0 ? status : 1;
}
