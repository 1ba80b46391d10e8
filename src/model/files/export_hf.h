#ifndef TPO_MODEL_EXPORT_HF_H
#define TPO_MODEL_EXPORT_HF_H

#include "tpo/model.h"

/* tpo_model_export_hf with another limit of a shard's bytes. */
int tpo_export_hf_sharded(const char *checkpoint_path, const char *folder, const char *chat_template,
                          uint64_t shard_bytes, struct tpo_error *err);

#endif
