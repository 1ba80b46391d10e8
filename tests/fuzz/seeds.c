/* seeds FOLDER: writes files of each HDF5 kind into FOLDER/samples, FOLDER/pairs and FOLDER/checkpoint, and
 * a journal into FOLDER/journal, for the fuzz targets to begin with. What they hold is what the store's tests hold. */
#include "store/hdf5_files.h"
#include "backend/backend.h"
#include "model/model.h"
#include "store/journal/journal.h"
#include "tpo/model.h"
#include "tpo/text.h"

#define CHECK(call)                                                                                          \
  do {                                                                                                       \
    struct tpo_error err = {0};                                                                              \
    if ((call) < 0) {                                                                                        \
      fprintf(stderr, "seeds: %s\n", err.message);                                                           \
      exit(1);                                                                                               \
    }                                                                                                        \
  } while (0)

static const char *root;

static const char *path_of(const char *target, const char *name)
{
  static char path[512];
  snprintf(path, sizeof path, "%s/%s", root, target);
  CHECK(tpo_make_dirs(path, &err));
  snprintf(path, sizeof path, "%s/%s/%s", root, target, name);
  return path;
}

static char names[256][200];
static int n_names;

static herr_t note_name(hid_t object, const char *name, const H5O_info_t *info, void *arg)
{
  (void)object;
  (void)arg;
  if (info->type == H5O_TYPE_DATASET && n_names < 256)
    snprintf(names[n_names++], sizeof names[0], "%s", name);
  return 0;
}

/* One data set again, as another program could write it: in two or more chunks, compressed. */
static void rewrite_dataset(hid_t file, const char *name)
{
  hsize_t dims[H5S_MAX_RANK], chunk[H5S_MAX_RANK];
  hid_t old = H5Dopen2(file, name, H5P_DEFAULT), type = H5Dget_type(old), space = H5Dget_space(old);
  int rank = H5Sget_simple_extent_dims(space, dims, NULL);
  hssize_t count = H5Sget_simple_extent_npoints(space);
  void *data = calloc((size_t)count + 1, H5Tget_size(type));
  if (rank > 0 && count > 0 && data && H5Dread(old, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) >= 0) {
    for (int i = 0; i < rank; i++) chunk[i] = (dims[i] + 1) / 2;
    hid_t creation = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_chunk(creation, rank, chunk);
    H5Pset_shuffle(creation);
    H5Pset_deflate(creation, 6);
    H5Ldelete(file, name, H5P_DEFAULT);
    hid_t new = H5Dcreate2(file, name, type, space, H5P_DEFAULT, creation, H5P_DEFAULT);
    H5Dwrite(new, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, data);
    H5Dclose(new);
    H5Pclose(creation);
    if (H5Tis_variable_str(type) > 0) H5Dvlen_reclaim(type, space, H5P_DEFAULT, data);
  }
  free(data);
  H5Sclose(space);
  H5Tclose(type);
  H5Dclose(old);
}

/* path: one of our files, rewritten in place. */
static void rewrite(const char *path)
{
  n_names = 0;
  hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT);
  if (file < 0 || H5Ovisit2(file, H5_INDEX_NAME, H5_ITER_NATIVE, note_name, NULL, H5O_INFO_BASIC) < 0) {
    fprintf(stderr, "seeds: %s can't be rewritten\n", path);
    exit(1);
  }
  for (int i = 0; i < n_names; i++) rewrite_dataset(file, names[i]);
  H5Fclose(file);
}

static void write_samples(void)
{
  struct tpo_samples samples;
  make_samples(&samples);
  CHECK(tpo_samples_write(&samples, path_of("samples", "plain"), &err));
  samples.is_scored = true;
  samples.judge_counts = strdup("{\"asked\":6}");
  CHECK(tpo_samples_write(&samples, path_of("samples", "scored"), &err));
  CHECK(tpo_samples_write(&samples, path_of("samples", "chunks"), &err));
  rewrite(path_of("samples", "chunks"));
  for (size_t i = 0; i < samples.n; i++) samples.rows[i].step = 1 + (int32_t)(i / 3);
  CHECK(tpo_samples_write(&samples, path_of("samples", "steps"), &err));
  samples.n = 1;
  CHECK(tpo_samples_write(&samples, path_of("samples", "one"), &err));
  tpo_samples_free(&samples);
}

static void write_pairs(void)
{
  struct tpo_pairs pairs;
  make_pairs(&pairs);
  CHECK(tpo_pairs_write(&pairs, path_of("pairs", "three"), &err));
  CHECK(tpo_pairs_write(&pairs, path_of("pairs", "chunks"), &err));
  rewrite(path_of("pairs", "chunks"));
  for (size_t i = 0; i < pairs.n; i++) pairs.rows[i].step = 1 + (int32_t)i;
  CHECK(tpo_pairs_write(&pairs, path_of("pairs", "steps"), &err));
  pairs.n = 0;
  CHECK(tpo_pairs_write(&pairs, path_of("pairs", "none"), &err));
  tpo_pairs_free(&pairs);
}

static void write_journal(void)
{
  struct journal *journal;
  char path[512];
  snprintf(path, sizeof path, "%s/journal", root);
  CHECK(journal_open(&journal, path, "fuzzed: yes\n", 0, JOURNAL_WRITE, &err));
  CHECK(journal_append(journal, "first", 5, "one", 3, &err));
  CHECK(journal_append(journal, "second", 6, "", 0, &err));
  CHECK(journal_append(journal, "first", 5, "once more", 9, &err));
  journal_close(journal);
}

/* A whole model with its vocabulary, as small as one can be. */
static void write_model(void)
{
  const struct tpo_arch arch = {.vocab_size = 4,
                                .hidden = 4,
                                .layers = 1,
                                .heads = 2,
                                .kv_heads = 1,
                                .head_dim = 2,
                                .ffn = 4,
                                .context = 8,
                                .rms_eps = 1e-5,
                                .rope.theta = 10000,
                                .tied = true};
  struct tpo_backend *backend;
  struct tpo_model *model;
  struct tpo_tokenizer *tok;
  struct tpo_checkpoint_writer *writer;
  CHECK(tpo_backend_open_reference(&backend, &err));
  CHECK(tpo_model_create_random(
      &model, &arch, 1, &(struct tpo_model_options){.backend = backend, .dtype = TPO_DTYPE_FP32}, &err));
  CHECK(tpo_tokenizer_open(&tok, TPO_SOURCE_DIR "/tests/model/fixtures/tokenizer", &err));
  CHECK(tpo_checkpoint_create(&writer, path_of("checkpoint", "model"), "seed: 1\n", &err));
  CHECK(tpo_model_save(model, NULL, tok, writer, &err));
  CHECK(tpo_checkpoint_commit(writer, &err));
  tpo_checkpoint_writer_close(writer);
  tpo_tokenizer_close(tok);
  tpo_model_close(model);
  tpo_backend_close(backend);
}

int main(int argc, char **argv)
{
  if (argc != 2) {
    fprintf(stderr, "usage: seeds FOLDER\n");
    return 2;
  }
  root = argv[1];
  write_samples();
  write_pairs();
  write_small_checkpoint(path_of("checkpoint", "small"));
  write_small_checkpoint(path_of("checkpoint", "chunks"));
  rewrite(path_of("checkpoint", "chunks"));
  write_model();
  write_journal();
  return 0;
}
