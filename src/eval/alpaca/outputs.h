/* Models' outputs as AlpacaEval keeps them: model_outputs.json, an array of {instruction, output, generator,
 * dataset}, which here is a JSON array of such objects.
 *
 *   json_t *outputs;
 *   alpaca_outputs_read(&outputs, "model_outputs.json", NULL, "mine", &err);
 *   puts(alpaca_generator(outputs));
 *   json_decref(outputs); */
#ifndef TPO_EVAL_ALPACA_OUTPUTS_H
#define TPO_EVAL_ALPACA_OUTPUTS_H

#include <jansson.h>
#include "tpo/data.h"
#include "tpo/store.h"

/* What rows that name no generator are of: a file's name without folder and ending. */
void alpaca_name_of_file(const char *path, char out[256]);
/* Rows of `output` and `instruction`, or, where that is left out, `index`, an instruction's number among prompts (NULL:
 * there are none); `dataset` as far as given, and `generator`, else name. An output of null is an empty text. Refused, with the
 * place: rows of several generators, an instruction that comes twice. */
int alpaca_outputs_read(json_t **out, const char *path, const struct tpo_instructions *prompts,
                        const char *name, struct tpo_error *err);
/* Of samples, one a prompt, in the order of the prompts: the responses alone, white space around them taken away as
 * alpaca_eval takes it. */
int alpaca_outputs_of(json_t **out, const struct tpo_instructions *prompts, const struct tpo_samples *samples,
                      const char *generator, struct tpo_error *err);
int alpaca_outputs_write(const json_t *records, const char *path, struct tpo_error *err);
/* Whatever the rows say that they are of. */
int alpaca_outputs_rename(json_t *outputs, const char *generator, struct tpo_error *err);
/* Of the first row; NULL: there is none. */
const char *alpaca_generator(const json_t *outputs);
size_t alpaca_outputs_empty(const json_t *outputs);       /* how many */
double alpaca_outputs_mean_length(const json_t *outputs); /* code points; NaN: there are none */

/* Instructions to answer: AlpacaEval's own file, a JSON array, or what `tpo generate` reads. check and its arg as
 * tpo_instructions_read_checked's. An instruction that comes twice is refused. */
int alpaca_prompts_read(struct tpo_instructions *set, const char *path, int skip_bad,
                        int (*check)(void *arg, const struct tpo_instruction *item, struct tpo_error *err),
                        void *arg, struct tpo_error *err);

#endif
