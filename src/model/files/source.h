/* Where weights come from: a Hugging Face folder, a GGUF file or a checkpoint, behind one small interface. */
#ifndef TPO_MODEL_SOURCE_H
#define TPO_MODEL_SOURCE_H

#include "model/model.h"

struct tpo_source {
  const char *path; /* borrowed */
  struct tpo_arch arch;
  void *state; /* of the kind; NULL when only the architecture was read */
  /* Tensors beside the transformer's, of a head that the caller reads; set after opening. Borrowed. */
  const struct tpo_param *extra;
  size_t n_extra;
  /* set after opening: take the fp32 master weights where the file has them beside rounded ones */
  bool master;
  /* Every parameter is there with its shape and a type that can be read, and nothing else is. */
  int (*check)(struct tpo_source *source, const struct tpo_param *params, size_t n, struct tpo_error *err);
  /* Rows of parameter i as fp32. out [n_rows, cols] */
  int (*read)(struct tpo_source *source, const struct tpo_param *params, size_t i, int64_t row0,
              int64_t n_rows, float *out, struct tpo_error *err);
  /* The same rows as they lie in the file, blocks of *ggml_type, in the file or gathered in `room` (of as
   * many bytes as `out` above); NULL where they can only be read as fp32. May be NULL. */
  const void *(*raw)(struct tpo_source *source, const struct tpo_param *params, size_t i, int64_t row0,
                     int64_t n_rows, void *room, uint32_t *ggml_type);
  /* The file that holds the parameter, for messages. */
  const char *(*file_of)(struct tpo_source *source, const struct tpo_param *param);
  void (*close)(struct tpo_source *source);
};

/* hf.c, gguf.c, checkpoint.c: fill arch; with `weights`, the rest too. On failure nothing stays open. */
int tpo_source_open_hf(struct tpo_source *source, const char *folder, bool weights, struct tpo_error *err);
int tpo_source_open_gguf(struct tpo_source *source, const char *path, bool weights, struct tpo_error *err);
int tpo_source_open_checkpoint(struct tpo_source *source, const char *path, bool weights,
                               struct tpo_error *err);

/* hf.c: config.json of a model folder, to be json_decref'ed; `place` gets its path. */
int tpo_source_load_config(json_t **out, const char *folder, char place[4096], struct tpo_error *err);
/* The body of a folder's model, whose head is told by source->extra; config is its config.json. */
int tpo_source_open_body(struct tpo_source *source, const char *folder, const json_t *config,
                         const char *place, struct tpo_error *err);
/* Whether such a folder has a tensor of that name. */
bool tpo_source_has(const struct tpo_source *source, const char *name);

/* open.c: every tensor is there as it should be, and nothing else is. */
int tpo_source_check(struct tpo_source *source, struct tpo_error *err);
/* The model of an opened source, which stays open. */
int tpo_source_load(struct tpo_model **out, struct tpo_source *source,
                    const struct tpo_model_options *options, struct tpo_error *err);
/* All of source->extra[i] as finite fp32 numbers. out [rows, cols] */
int tpo_source_read_extra(struct tpo_source *source, size_t i, float *out, struct tpo_error *err);

/* open.c: whichever of the three path is, by its contents. */
int tpo_source_open(struct tpo_source *source, const char *path, bool weights, struct tpo_error *err);
void tpo_source_close(struct tpo_source *source);

/* Compares a shape in a file, row-major, with what the parameter must have; `file` begins the message. */
int tpo_source_check_shape(const struct tpo_param *param, const char *name, const int64_t *dims, int n_dims,
                           const char *file, struct tpo_error *err);

#endif
