/* The kinds of judges: the one list of what judge.kind, KIND[:ARG], can name. Messages and help are made of
 * it, and the judge layer has a judge for each (src/judge/judge.c). */
#ifndef TPO_CONFIG_JUDGE_KINDS_H
#define TPO_CONFIG_JUDGE_KINDS_H

#include <stddef.h>

/* A kind's id, its name, whether it takes an argument (":ARG", else ""), and its part of the sentence that
 * enumerates them all: none for https, which is the kind http under an address of its own. */
#define CONFIG_JUDGE_KINDS(KIND)                                                                             \
  KIND(RULE, "rule", "", "rule")                                                                             \
  KIND(REWARD, "reward", ":DIR", ", reward:DIR")                                                             \
  KIND(PAIRWISE, "pairwise", ":DIR", ", pairwise:DIR")                                                       \
  KIND(HTTP, "http", ":URL", ", http:URL")                                                                   \
  KIND(HTTPS, "https", "://HOST", "")                                                                        \
  KIND(COMMAND, "command", ":PROGRAM", ", command:PROGRAM")                                                  \
  KIND(ROUTE, "route", "", " or route")

#define CONFIG_JUDGE_KIND_ID(id, name, argument, told) JUDGE_KIND_##id,
enum config_judge_kind { CONFIG_JUDGE_KINDS(CONFIG_JUDGE_KIND_ID) N_JUDGE_KINDS };

/* "rule, reward:DIR, ... or route", a string literal. */
#define CONFIG_JUDGE_KIND_TOLD(id, name, argument, told) told
#define CONFIG_JUDGE_KINDS_TOLD CONFIG_JUDGE_KINDS(CONFIG_JUDGE_KIND_TOLD)

/* Which kind a text, KIND[:ARG], is of; negative: none. *argument: what follows the colon, NULL where there
 * is none. */
int config_judge_kind(const char *text, const char **argument);
int config_judge_kind_named(const char *name, size_t len); /* negative: none */
const char *config_judge_kind_name(enum config_judge_kind kind);
/* ":DIR", as people are told of it; "": the kind takes none. */
const char *config_judge_kind_argument(enum config_judge_kind kind);
/* The kind whose name is most like this one; negative: none is near. */
int config_suggest_judge_kind(const char *name, size_t len);

#endif
