/* The parts of reading and checking an architecture: each reads its keys of config.json, refusing by name what
 * the description cannot hold. `place` begins every message. */
#ifndef TPO_MODEL_ARCH_H
#define TPO_MODEL_ARCH_H

#include <jansson.h>
#include "model/model.h"

/* options.c */
/* "key": value is not supported; expected ... */
int tpo_arch_unsupported(const char *place, const char *key, const json_t *value, const char *expected,
                         struct tpo_error *err);
/* Refuses settings that would change the computation and that the family's transformer does not have. */
int tpo_arch_refuse(const struct tpo_arch *arch, const json_t *config, const char *place,
                    struct tpo_error *err);

/* rope.c: after the sizes. */
int tpo_arch_read_rope(struct tpo_arch *arch, const json_t *config, const char *place, struct tpo_error *err);

/* layers.c: which layers see a window alone, and which are not rotated; after the sizes. */
int tpo_arch_read_layers(struct tpo_arch *arch, const json_t *config, const char *place,
                         struct tpo_error *err);

/* check.c */
int tpo_arch_check_range(const char *what, int value, int min, int max, const char *place,
                         struct tpo_error *err);

#endif
