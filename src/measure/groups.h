/* Scored samples by what their instructions are: of which category or data set, and by which kinds of check
 * they are verified. Plain counting on rank 0. */
#ifndef TPO_MEASURE_GROUPS_H
#define TPO_MEASURE_GROUPS_H

#include "base/memory.h"
#include "measure/dynamics.h"

enum group_by {
  GROUP_CATEGORY, /* of the instruction, as its file gives it */
  GROUP_DATASET,
  GROUP_CHECK, /* the checks that the rule judge ran on responses: an instruction stands under each kind it has */
  N_GROUP_BY
};
/* Larger groups are told one by one, those beyond together. */
enum { MOST_GROUPS = 64 };

struct group {
  const char *name; /* see group_name; NULL of several or none */
  size_t n;         /* instructions */
  size_t unjudged;  /* of them without a value: the judge failed on a response */
  /* Mean over instructions: of their scores, as prompt_score has them; by check of the share of their checks
   * that responses passed. NaN of none; _se: its standard error. */
  double value, value_se;
  size_t compared; /* instructions that have a value both before and now */
  double difference, difference_se;
  /* By the outcomes given; the interval is Wilson's, with ties as halves. */
  size_t wins, losses, ties;
  double win_rate, win_low, win_high;
  /* Not by check: over outputs. */
  double format_rate, response_tokens, response_chars;
  size_t checks, passed; /* by check: how many were run */
};
struct groups {
  enum group_by by;
  struct group *list; /* [n] the largest first, equal ones by name */
  size_t n;
  struct group other;   /* those beyond MOST_GROUPS together */
  size_t n_other;       /* how many they are */
  struct group without; /* instructions that have no such name */
  struct tpo_arena arena;
};

struct group_options {
  double unparsed;                  /* what an output that does not parse counts with */
  const struct tpo_samples *before; /* compared with by instruction's id; NULL: nothing */
  /* [n of samples] by an instruction's first row: 1 won, 0 lost, 1/2 even, NaN not compared; NULL: nothing is
   * told of wins. */
  const double *outcomes;
};
int groups_of(struct groups *out, const struct tpo_samples *samples, enum group_by by,
              const struct group_options *options, struct tpo_error *err);
void groups_free(struct groups *groups);
/* How many there are to tell apart: all named ones, and that of instructions without a name. */
size_t groups_count(const struct groups *groups);

/* A name as it is told: what can't be seen made visible, at most 80 characters. One that is not told as it is,
 * or has white space that is not seen as it is (at an end, in a row, not the plain one), ends in "~" and eight
 * hex digits of its hash, so that no two are told alike. In arena; NULL when memory is short. */
const char *group_name(struct tpo_arena *arena, const char *name, size_t len);

/* Inside: one instruction in one group. */
struct group_member {
  const char *name; /* in the groups' arena, name_len bytes; NULL: none */
  size_t name_len;
  size_t row; /* the instruction's first */
  const char *id;
  double value, before, outcome; /* NaN: none */
  size_t checks, passed;
};
struct group_members {
  struct group_member *list;
  size_t n, capacity;
};
/* By name, members without one last; within a name by id. */
int group_member_order(const void *a, const void *b);
bool group_same_name(const struct group_member *a, const struct group_member *b);
/* A member for each kind of check that ran on an instruction's responses, with what they passed, sorted. */
int check_members(struct group_members *out, struct tpo_arena *arena, const struct tpo_samples *samples,
                  struct tpo_error *err);
/* Mean over outputs of the share of their instruction's checks that the response passed, of the rule judge's own
 * verdicts. An output that does not parse and an empty response pass none; left out are those that the judge failed on
 * or that had nothing to check. NaN of none. */
double checks_held(const struct tpo_samples *samples);
/* The same of the prompt whose first row is `first`. */
double prompt_checks_held(const struct tpo_samples *samples, size_t first);
/* Takes over into `now` the values that `before` has of the same group and instruction. Both sorted. */
void join_members(struct group_members *now, const struct group_members *before);

#endif
