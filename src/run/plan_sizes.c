/* Sizes of the files of a run, and the room that they need. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#include "base/file.h"
#include "base/memory.h"
#include "model/model.h"
#include "run/plan.h"

/* How HDF5 lays out what we write (store/hdf5): texts lie in heaps of 4096 bytes, 16 of them a header, each
 * text behind 16 bytes of its own and filled up to 8; a longer one has a heap for itself. A text's place
 * takes 16 bytes more. Metadata come in blocks of 2048 bytes: 342 for a dataset and its name, 340
 * for a group and 500 for the file, as measured on checkpoints. */
enum { HEAP_BYTES = 4096, HEAP_HEADER = 16, TEXT_HEADER = 16, TEXT_PLACE = 16 };
enum { BLOCK_BYTES = 2048, DATASET_BYTES = 342, GROUP_BYTES = 340, FILE_BYTES = 500 };

static double object_bytes(double len)
{
  return len > 0 ? TEXT_HEADER + ceil(len / 8) * 8 : 0;
}

/* A heap takes whole texts only, and its end stays unused. */
double plan_text_bytes(double len)
{
  double object = object_bytes(len), room = HEAP_BYTES - HEAP_HEADER;
  if (object == 0) return TEXT_PLACE;
  if (object > room) return TEXT_PLACE + HEAP_HEADER + object;
  return TEXT_PLACE + HEAP_BYTES / floor(room / object);
}

static double metadata_bytes(double datasets, double groups)
{
  return ceil((datasets * DATASET_BYTES + groups * GROUP_BYTES + FILE_BYTES) / BLOCK_BYTES) * BLOCK_BYTES;
}

/* Heaps that texts are put into, each into the first with room. */
struct heaps {
  double *free; /* [n] */
  size_t n, capacity;
  double bytes;
};

static int put_text(struct heaps *heaps, double len, struct tpo_error *err)
{
  double object = object_bytes(len);
  size_t i = 0;
  while (i < heaps->n && heaps->free[i] < object) i++;
  if (i == heaps->n) {
    if (tpo_grow(&heaps->free, &heaps->capacity, i + 1, sizeof *heaps->free, err) < 0) return TPO_E_MEMORY;
    double size = HEAP_HEADER + object > HEAP_BYTES ? HEAP_HEADER + object : HEAP_BYTES;
    heaps->free[heaps->n++] = size - HEAP_HEADER;
    heaps->bytes += size;
  }
  heaps->free[i] -= object;
  return 0;
}

struct blobs {
  struct heaps *heaps;
  double n;
};

static int put_blob(void *arg, const char *name, const char *bytes, size_t len, struct tpo_error *err)
{
  struct blobs *blobs = arg;
  (void)name, (void)bytes;
  blobs->n++;
  return put_text(blobs->heaps, (double)len, err);
}

/* The groups are as tpo_trainer_save writes them. */
static int checkpoint_bytes(const struct plan *plan, bool with_optimizer, double *out, struct tpo_error *err)
{
  enum { ARCHITECTURE = 500, STATE = 500 }; /* JSON texts, about */
  const struct tpo_arch *arch = &plan->arch;
  bool bf16 = plan->config->model.dtype == TPO_DTYPE_BF16;
  double tensors = (double)tpo_params_number(arch);
  double values = (double)tpo_arch_param_count(arch);
  int groups = (with_optimizer || bf16) + 2 * with_optimizer;
  struct heaps heaps = {0};
  struct blobs blobs = {.heaps = &heaps, .n = 2};
  const size_t attributes[] = {10, 5, 20, strlen(plan->yaml), ARCHITECTURE};
  int status = 0;
  for (size_t i = 0; i < sizeof attributes / sizeof *attributes && status == 0; i++)
    status = put_text(&heaps, (double)attributes[i], err);
  for (int i = 0; bf16 && i < (int)tensors && status == 0; i++) status = put_text(&heaps, 8, err);
  if (status == 0) status = tpo_tokenizer_each_file(plan->tokenizer, put_blob, &blobs, err);
  if (status == 0) status = put_text(&heaps, STATE, err);
  if (status == 0) status = put_text(&heaps, 32, err); /* content_hash */
  *out = values * (bf16 ? 2 : 4) + values * 4 * groups + TEXT_PLACE * blobs.n + heaps.bytes +
         metadata_bytes(tensors * (1 + groups) + blobs.n, 2 + groups + (groups > 0));
  free(heaps.free);
  return status;
}

int plan_checkpoint_sizes(struct plan *plan, struct tpo_error *err)
{
  int status = checkpoint_bytes(plan, plan->config->train.save_optimizer, &plan->checkpoint, err);
  if (status == 0 && plan->config->train.epochs > 1)
    status = checkpoint_bytes(plan, true, &plan->trainer, err);
  return status;
}

/* A file of samples, k of each instruction of the set, scored or not. Of an output a row has ids,
 * log-probabilities and marks (9 bytes a token), and its text twice: whole, and as thought and response. */
static double samples_bytes(const struct plan *plan, const struct plan_set *set, double k, bool scored,
                            bool most)
{
  enum { COLUMNS = 18, SCORE_COLUMNS = 3, ROW_NUMBERS = 33, SCORE_NUMBERS = 9, TOKEN_BYTES = 9 };
  double rows = (double)set->n * k, tokens = k * (most ? set->most : set->expected);
  if (rows == 0) return 0;
  double inserted = rows * plan->marker_tokens, text = set->text_bytes / set->prompt_tokens;
  double bytes = k * set->row_bytes + rows * ROW_NUMBERS + (tokens + inserted) * TOKEN_BYTES +
                 rows * 2 * plan_text_bytes((tokens + inserted) / rows * text) + rows * TEXT_PLACE;
  if (scored) bytes += rows * SCORE_NUMBERS + k * set->detail_bytes;
  return bytes + plan_text_bytes((double)strlen(plan->yaml)) +
         metadata_bytes(COLUMNS + (scored ? SCORE_COLUMNS : 0), 0);
}

static double pairs_bytes(const struct plan *plan, const struct plan_set *set, bool most)
{
  enum { COLUMNS = 16, PAIR_NUMBERS = 72, TOKEN_BYTES = 5 };
  double pairs = plan_pairs(plan, set), of_each = set->n ? pairs / (double)set->n : 0;
  double tokens = 2 * of_each * (most ? set->most : set->expected) + 2 * pairs * plan->marker_tokens;
  return of_each * set->pair_token_bytes + pairs * PAIR_NUMBERS + tokens * TOKEN_BYTES +
         plan_text_bytes((double)strlen(plan->yaml)) + metadata_bytes(COLUMNS, 0);
}

void plan_file_sizes(const struct plan *plan, const struct plan_set *set, bool most, struct plan_files *out)
{
  double k = plan->config->sampling.k;
  *out = (struct plan_files){
      .prompts = set->line_bytes,
      .samples = samples_bytes(plan, set, k, false, most),
      .scored = samples_bytes(plan, set, k, true, most),
      .pairs = pairs_bytes(plan, set, most),
      .validation = samples_bytes(plan, &plan->validation, plan->config->run.validation_k, true, most),
  };
}

/* What training adds at its fullest: a file replaces another only once it is whole, so of checkpoint.h5 and
 * trainer.h5 (written between epochs) one stands there twice. */
static double training_peak(const struct plan *plan)
{
  int epochs = plan->config->train.epochs;
  double once = plan->checkpoint + plan->trainer, twice = epochs > 2 ? plan->trainer : plan->checkpoint;
  return epochs == 1 ? plan->checkpoint : once + (twice > plan->checkpoint ? twice : plan->checkpoint);
}

void plan_disk(const struct plan *plan, bool most, double *end, double *peak)
{
  struct plan_files files;
  plan_file_sizes(plan, &plan->validation, most, &files);
  *end = plan->validation.line_bytes + files.validation + (double)strlen(plan->yaml);
  *peak = 0;
  for (int i = 0; i < plan->config->run.iterations; i++) {
    plan_file_sizes(plan, &plan->train[i], most, &files);
    *end += files.prompts + files.samples + files.scored + files.pairs;
    if (*end + training_peak(plan) > *peak) *peak = *end + training_peak(plan);
    *end += plan->checkpoint + files.validation;
  }
  if (*end > *peak) *peak = *end;
}

double plan_free_space(const char *path)
{
  char dir[4096];
  struct statvfs fs;
  if (strlen(path) >= sizeof dir) return -1;
  strcpy(dir, path);
  while (statvfs(dir, &fs) < 0) { /* the nearest parent that is there */
    char *slash = strrchr(dir, '/');
    if (strcmp(dir, ".") == 0 || strcmp(dir, "/") == 0) return -1;
    if (!slash)
      strcpy(dir, ".");
    else
      slash[slash == dir] = '\0';
  }
  return (double)fs.f_bavail * (double)fs.f_frsize;
}
