/* Sizes of the files of a run, and the room that they need. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#include "base/file.h"
#include "model/model.h"
#include "run/plan/plan.h"
#include "store/hdf5/layout.h"

struct blobs {
  struct tpo_h5_heaps *heaps;
  double n;
};

static int put_blob(void *arg, const char *name, const char *bytes, size_t len, struct tpo_error *err)
{
  struct blobs *blobs = arg;
  (void)name, (void)bytes;
  blobs->n++;
  return tpo_h5_heaps_put(blobs->heaps, (double)len, err);
}

/* groups: of fp32 values beside the weights. */
static int checkpoint_bytes(const struct plan *plan, int groups, double *out, struct tpo_error *err)
{
  enum { ARCHITECTURE = 500, STATE = 500 }; /* JSON texts, about */
  const struct tpo_arch *arch = &plan->arch;
  bool bf16 = plan->config->model.dtype == TPO_DTYPE_BF16;
  double tensors = (double)tpo_params_number(arch);
  double values = (double)tpo_arch_param_count(arch);
  struct tpo_h5_heaps heaps = {0};
  struct blobs blobs = {.heaps = &heaps, .n = 2};
  const size_t attributes[] = {10, 5, 20, strlen(plan->yaml), ARCHITECTURE};
  int status = 0;
  for (size_t i = 0; i < sizeof attributes / sizeof *attributes && status == 0; i++)
    status = tpo_h5_heaps_put(&heaps, (double)attributes[i], err);
  for (int i = 0; bf16 && i < (int)tensors && status == 0; i++) status = tpo_h5_heaps_put(&heaps, 8, err);
  if (status == 0) status = tpo_tokenizer_each_file(plan->tokenizer, put_blob, &blobs, err);
  if (status == 0) status = tpo_h5_heaps_put(&heaps, STATE, err);
  if (status == 0) status = tpo_h5_heaps_put(&heaps, 32, err); /* content_hash */
  *out = values * (bf16 ? 2 : 4) + values * 4 * groups + TPO_H5_TEXT_PLACE * blobs.n + heaps.bytes +
         tpo_h5_metadata_bytes(tensors * (1 + groups) + blobs.n, 2 + groups + (groups > 0));
  tpo_h5_heaps_free(&heaps);
  return status;
}

/* As tpo_trainer_keep writes it: master weights and moments, with a little for heads and keys. */
static double state_bytes(const struct tpo_arch *arch)
{
  return 3.0 * sizeof(float) * (double)tpo_arch_param_count(arch) + 4096;
}

int plan_checkpoint_sizes(struct plan *plan, struct tpo_error *err)
{
  bool optimizer = plan->config->train.save_optimizer, bf16 = plan->config->model.dtype == TPO_DTYPE_BF16;
  int groups = (optimizer || bf16) + 2 * optimizer; /* as tpo_trainer_save writes them */
  int status = checkpoint_bytes(plan, groups, &plan->checkpoint, err);
  plan->state = state_bytes(&plan->arch);
  return status < 0 ? status : checkpoint_bytes(plan, 0, &plan->reference, err);
}

/* Of an output a row has ids,
 * log-probabilities and marks (9 bytes a token), and its text twice: whole, and as thought and response. */
double plan_samples_bytes(const struct plan *plan, const struct plan_set *set, double k, bool scored,
                          bool most)
{
  enum { COLUMNS = 19, SCORE_COLUMNS = 3, ROW_NUMBERS = 37, SCORE_NUMBERS = 9, TOKEN_BYTES = 9 };
  double rows = (double)set->n * k, tokens = k * (most ? set->most : set->expected);
  if (rows == 0) return 0;
  double inserted = rows * plan->marker_tokens, text = set->text_bytes / set->prompt_tokens;
  double bytes = k * set->row_bytes + rows * ROW_NUMBERS + (tokens + inserted) * TOKEN_BYTES +
                 rows * 2 * tpo_h5_text_bytes((tokens + inserted) / rows * text) + rows * TPO_H5_TEXT_PLACE;
  if (scored) bytes += rows * SCORE_NUMBERS + k * set->detail_bytes;
  return bytes + tpo_h5_text_bytes((double)strlen(plan->yaml)) +
         tpo_h5_metadata_bytes(COLUMNS + (scored ? SCORE_COLUMNS : 0), 0);
}

static double pairs_bytes(const struct plan *plan, const struct plan_set *set, bool most)
{
  enum { COLUMNS = 16, PAIR_NUMBERS = 72, TOKEN_BYTES = 5 };
  double pairs = plan_pairs(plan, set), of_each = set->n ? pairs / (double)set->n : 0;
  double tokens = 2 * of_each * (most ? set->most : set->expected) + 2 * pairs * plan->marker_tokens;
  return of_each * set->pair_token_bytes + pairs * PAIR_NUMBERS + tokens * TOKEN_BYTES +
         tpo_h5_text_bytes((double)strlen(plan->yaml)) + tpo_h5_metadata_bytes(COLUMNS, 0);
}

void plan_file_sizes(const struct plan *plan, const struct plan_set *set, bool most, struct plan_files *out)
{
  double k = plan->config->sampling.k;
  *out = (struct plan_files){
      .prompts = set->line_bytes,
      .samples = plan_samples_bytes(plan, set, k, false, most),
      .scored = plan_samples_bytes(plan, set, k, true, most),
      .pairs = pairs_bytes(plan, set, most),
      .validation = plan_samples_bytes(plan, &plan->validation, plan->config->run.validation_k, true, most),
  };
}

/* What training adds at its fullest: a state goes once the next one is whole, and then the checkpoint of the
 * best epoch that it spoke of; between epochs both may stand there twice. */
static double training_peak(const struct plan *plan)
{
  double checkpoint = plan->checkpoint, state = plan->state;
  int epochs = plan->config->train.epochs;
  if (epochs > 2) return 2 * checkpoint + 2 * state;
  double smaller = checkpoint < state ? checkpoint : state;
  return epochs == 2 ? 2 * checkpoint + 2 * state - smaller : checkpoint + 2 * state - smaller;
}

/* A validation's journal, which has every draw, until its results are written. */
static double drawn_bytes(const struct plan *plan, const struct plan_files *files, bool most)
{
  return files->validation * (most ? 1 + plan->config->run.validation_resample : 1);
}

void plan_disk(const struct plan *plan, bool most, double *end, double *peak)
{
  struct plan_files files;
  bool steps = tpo_run_in_steps(&plan->config->run);
  double kept = steps ? plan_steps_kept(plan) : 0;
  plan_file_sizes(plan, &plan->validation, most, &files);
  double watch = plan_watch_bytes(plan, most), watching = plan_watch_journal_bytes(plan, most);
  *end = plan->validation.line_bytes + files.validation + (double)strlen(plan->yaml) + watch;
  *peak = *end + watching;
  for (int i = 0; i < tpo_run_iterations(&plan->config->run); i++) {
    plan_file_sizes(plan, &plan->train[i], most, &files);
    *end += files.prompts + files.samples + files.scored + files.pairs;
    double drawn = drawn_bytes(plan, &files, most); /* after each epoch, and after training */
    double beside = steps ? plan_steps_journal(plan, &plan->train[i], most) + plan->checkpoint
                          : training_peak(plan) + drawn;
    *peak = fmax(*peak, *end + kept + beside);
    *end += plan->checkpoint + files.validation;
    *peak = fmax(*peak, *end + kept + drawn);
    *end += watch;
    *peak = fmax(*peak, *end + kept + watching);
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
