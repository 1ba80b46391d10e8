/* `tpo eval arena`: Arena-Hard v0.1. */
#include "cli/eval/arena.h"

#include "cli/same.h"
#include "eval/arena/read.h"
#include "eval/arena/score.h"
#include "eval/provenance.h"

static const struct option options[] = {
    {"--battles", 0, "F", NULL,
     "battles: columns question_id, winner (baseline, model or tie) and perhaps model; or upstream's model_a, "
     "model_b, winner; a folder: all its files"},
    {"--games", 0, "F", NULL,
     "games: columns question_id, game1, game2 (labels such as A>>B) and perhaps model; or upstream's "
     "judgments; a folder: all its files"},
    {"--anchor", 0, "NAME", NULL,
     "the baseline's name (default: baseline, or the model_a that takes part in all battles)"},
    {"--bootstrap", 0, "N", NULL, "rounds that intervals come from (default 100)"},
    OPTION_SAVE,
    OPTION_END,
};

struct telling {
  const struct tpo_session *session;
  double rounds;
};

static void tell_rounds(void *arg, double share)
{
  const struct telling *telling = arg;
  struct tpo_progress at = {.phase = "drawing battles",
                            .unit = "rounds",
                            .done = share * telling->rounds,
                            .total = telling->rounds};
  tpo_session_tell(telling->session, &at);
}

json_t *arena_result(const struct cli_session *s, const struct arena_battles *battles,
                     const struct arena_request *request, struct tpo_error *err)
{
  const struct tpo_session *session = &s->session;
  struct telling telling = {session, (double)request->rounds};
  const struct tpo_watch watch = {tell_rounds, &telling};
  const struct arena_rounds rounds = {(size_t)request->rounds, session->config->seed, &watch};
  size_t baseline;
  if (arena_find_baseline(battles, request->anchor, &baseline, err) < 0) return NULL;
  json_t *result = arena_score(battles, baseline, &rounds, err);
  json_t *provenance = result ? eval_provenance(session, err) : NULL;
  if (provenance && json_object_set_new(result, "provenance", provenance) == 0) return result;
  if (provenance) tpo_fail(err, TPO_E_MEMORY, "no memory for the result");
  json_decref(result);
  return NULL;
}

/* The files that the battles are from. */
static int add_files(json_t *provenance, const char *name, const struct arena_battles *battles,
                     struct tpo_error *err)
{
  const json_t *path;
  size_t i;
  int status = 0;
  json_array_foreach(battles->files, i, path) if (status == 0) status =
      eval_provenance_file(provenance, name, json_string_value(path), err);
  return status;
}

/* Rank 0. */
static int reckon(struct cli_session *s, const struct invocation *in, const struct arena_request *request,
                  struct tpo_error *err)
{
  const char *path = request->battles ? request->battles : request->games;
  enum arena_file kind = request->battles ? ARENA_BATTLES_FILE : ARENA_GAMES_FILE;
  struct arena_battles battles = {0};
  json_t *result = NULL;
  int status = arena_read(&battles, kind, path, request->anchor, err);
  if (status == 0 && !(result = arena_result(s, &battles, request, err))) status = err->code;
  progress_end(&s->bar);
  if (status == 0)
    status = add_files(json_object_get(result, "provenance"), request->battles ? "battles" : "games",
                       &battles, err);
  arena_battles_free(&battles);
  if (status == 0) return eval_finish(in, result, err);
  json_decref(result);
  return status;
}

static int read_request(const struct invocation *in, struct arena_request *r, struct tpo_error *err)
{
  *r = (struct arena_request){.battles = option_value(in, "--battles"),
                              .games = option_value(in, "--games"),
                              .anchor = option_value(in, "--anchor")};
  int status = option_int(in, "--bootstrap", 1, 1000000, 100, &r->rounds, err);
  if (status == 0 && !r->battles == !r->games)
    status = tpo_fail(err, TPO_E_USAGE, "tpo eval arena: expected one of --battles F and --games F");
  return status;
}

static int run(struct invocation *in, struct tpo_error *err)
{
  struct cli_session s;
  struct arena_request request;
  char save[4096];
  int status = agree_on_usage(in, read_request(in, &request, err), err);
  if (status == 0) status = eval_save_path(in, "arena.json", save, err);
  if (status < 0) return status;
  cli_session_open_plain(&s, in);
  if (cli_first_rank(&s)) status = reckon(&s, in, &request, err);
  status = tpo_comm_agree(s.session.comm, status, err);
  cli_session_close(&s);
  return status;
}

const struct command cmd_eval_arena = {
    .name = "eval arena",
    .arguments = "",
    .summary = "Arena-Hard: scores and intervals from a judge's games",
    .options = options,
    .needs_comm = true,
    .run = run,
};
