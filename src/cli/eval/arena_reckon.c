/* `tpo eval arena --battles`, `--games`: scores of what is there. */
#include "cli/eval/arena.h"
#include "eval/arena/read.h"
#include "eval/arena/score.h"
#include "eval/provenance.h"

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
  json_array_foreach(battles->files, i, path)
  {
    if (status == 0) status = eval_provenance_file(provenance, name, json_string_value(path), err);
  }
  return status;
}

static void tell_models(const struct arena_battles *battles)
{
  for (size_t i = 0; i < battles->n_models; i++) {
    const struct arena_model *model = &battles->models[i];
    if (model->null_games + model->unknown_labels > 0)
      tpo_log(TPO_LOG_WARN,
              "%.200s: of %zu games %zu have no verdict and %zu an unknown label: they don't count",
              model->name, model->games, model->null_games, model->unknown_labels);
  }
}

static int reckon(const struct cli_session *s, const struct arena_request *request, json_t **result,
                  struct tpo_error *err)
{
  const char *path = request->battles ? request->battles : request->games;
  enum arena_file kind = request->battles ? ARENA_BATTLES_FILE : ARENA_GAMES_FILE;
  struct arena_battles battles = {0};
  int status = arena_read(&battles, kind, path, request->anchor, err);
  if (status == 0) tell_models(&battles);
  if (status == 0 && !(*result = arena_result(s, &battles, request, err))) status = err->code;
  if (status == 0)
    status = add_files(json_object_get(*result, "provenance"), request->battles ? "battles" : "games",
                       &battles, err);
  arena_battles_free(&battles);
  return status;
}

int arena_reckon(struct cli_session *s, const struct arena_request *request, json_t **result,
                 struct tpo_error *err)
{
  int status = cli_first_rank(s) ? reckon(s, request, result, err) : 0;
  progress_end(&s->bar);
  return tpo_comm_agree(s->session.comm, status, err);
}
