/* data: instructions, read from files or composed.
 *
 *   struct tpo_instructions set = {0};
 *   if (tpo_instructions_read(&set, "prompts.jsonl", &err) < 0) ...
 *   printf("%zu instructions, first: %s\n", set.n, set.items[0].instruction);
 *   tpo_instructions_free(&set);
 */
#ifndef TPO_DATA_H
#define TPO_DATA_H

#include "tpo/base.h"

struct tpo_arena_block;

struct tpo_instruction {
  const char *id;          /* as given, else "<line number>" of the file */
  const char *instruction; /* the (last) user message's text */
  /* JSON array of {role, content} when the line had a chat of more than one message; else NULL */
  const char *messages;
  /* What a judge may need: a JSON object with dataset, category, reference, checks (normalised) and messages,
   * as far as given; "{}" */
  const char *meta;
};
struct tpo_instructions {
  size_t n, capacity;
  struct tpo_instruction *items;
  struct tpo_arena_block *arena;
};

/* JSON Lines or tab-separated (by the first line: a header naming the columns), plain or gzip, "-" standard
 * input. Fields of src/data/README.md: an instruction with its input, or a chat, under the names that public
 * sets have for them; what would change the question and isn't read is refused by name. IFEval's
 * instruction_id_list and kwargs become checks [{"type": "length_constraints:number_words", ...kwargs without
 * nulls}]. Blank lines are skipped. Errors name FILE:LINE: invalid UTF-8, none or several of instruction and
 * messages, empty instruction, duplicate id, wrong types. A file without any instruction, or of another
 * format, is an error. */
TPO_API int tpo_instructions_read(struct tpo_instructions *set, const char *path, struct tpo_error *err);
/* The same, but up to skip_bad bad rows (never the header) are left out, each told by a warning; one more is
 * an error. */
TPO_API int tpo_instructions_read_some(struct tpo_instructions *set, const char *path, int skip_bad,
                                       struct tpo_error *err);
/* The same, with what else makes a row bad: a negative result of check, whose reason in err then gets the
 * row's place. check may be NULL; the item is borrowed until it returns. */
TPO_API int tpo_instructions_read_checked(struct tpo_instructions *set, const char *path, int skip_bad,
                                          int (*check)(void *arg, const struct tpo_instruction *item,
                                                       struct tpo_error *err),
                                          void *arg, struct tpo_error *err);
TPO_API int tpo_instructions_add(struct tpo_instructions *set, const struct tpo_instruction *item,
                                 struct tpo_error *err);
/* JSON Lines; path "-" is standard output. */
TPO_API int tpo_instructions_write(const struct tpo_instructions *set, const char *path,
                                   struct tpo_error *err);
TPO_API void tpo_instructions_free(struct tpo_instructions *set);

enum tpo_compose_split { TPO_COMPOSE_TRAIN, TPO_COMPOSE_VALIDATION };
/* Composes n distinct instructions with checks from our topics, task forms and constraint phrasings; the
 * validation split shares no topic with training. The same (seed, split, first, n) gives the same items;
 * items first..first+n-1 of the endless sequence, so that iterations take fresh ones. Error when n exceeds
 * the distinct ones there are. */
TPO_API int tpo_compose_instructions(struct tpo_instructions *set, uint64_t seed,
                                     enum tpo_compose_split split, size_t first, size_t n,
                                     struct tpo_error *err);

#endif
