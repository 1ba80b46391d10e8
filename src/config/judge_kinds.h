/* The kinds of judges: the one list of what judge.kind, KIND[:ARG], can name. Messages and help are made of
 * it, and the judge layer has a judge for each (src/judge/judge.c). */
#ifndef TPO_CONFIG_JUDGE_KINDS_H
#define TPO_CONFIG_JUDGE_KINDS_H

#include <stdbool.h>
#include <stddef.h>
#include "base/buf.h"

/* A kind's id, its name, whether it takes an argument (":ARG", else ""), whether it can do nothing but compare
 * (1), and its part of the sentence that enumerates them all: none for https, which is the kind http under an
 * address of its own. */
#define CONFIG_JUDGE_KINDS(KIND)                                                                             \
  KIND(RULE, "rule", "", 0, "rule")                                                                          \
  KIND(REWARD, "reward", ":DIR", 0, ", reward:DIR")                                                          \
  KIND(PAIRWISE, "pairwise", ":DIR", 1, ", pairwise:DIR")                                                    \
  KIND(HTTP, "http", ":URL", 0, ", http:URL")                                                                \
  KIND(HTTPS, "https", "://HOST", 0, "")                                                                     \
  KIND(COMMAND, "command", ":PROGRAM", 0, ", command:PROGRAM")                                               \
  KIND(ROUTE, "route", "", 0, ", route")                                                                     \
  KIND(SUM, "sum", "", 0, " or sum")

#define CONFIG_JUDGE_KIND_ID(id, name, argument, compares, told) JUDGE_KIND_##id,
enum config_judge_kind { CONFIG_JUDGE_KINDS(CONFIG_JUDGE_KIND_ID) N_JUDGE_KINDS };

/* "rule, reward:DIR, ... or sum", a string literal. */
#define CONFIG_JUDGE_KIND_TOLD(id, name, argument, compares, told) told
#define CONFIG_JUDGE_KINDS_TOLD CONFIG_JUDGE_KINDS(CONFIG_JUDGE_KIND_TOLD)

/* Which kind a text, KIND[:ARG], is of; negative: none. *argument: what follows the colon, NULL where there
 * is none. */
int config_judge_kind(const char *text, const char **argument);
int config_judge_kind_named(const char *name, size_t len); /* negative: none */
const char *config_judge_kind_name(enum config_judge_kind kind);
/* ":DIR", as people are told of it; "": the kind takes none. */
const char *config_judge_kind_argument(enum config_judge_kind kind);
bool config_judge_kind_compares(enum config_judge_kind kind);
/* An address's query may hold a key, which belongs into no result and no message: the bytes of a kind before it. */
size_t config_judge_told(const char *kind);
/* Appends a text, in which each address has its query's hash in the query's place: other queries, other texts. */
void config_tell_addresses(const char *text, struct tpo_buf *out);
/* The kind whose name is most like this one; negative: none is near. */
int config_suggest_judge_kind(const char *name, size_t len);

#endif
