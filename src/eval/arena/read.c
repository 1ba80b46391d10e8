/* Files of battles and of games, and folders of them. */
#include "eval/arena/read.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "eval/rows.h"

#define UNNAMED "baseline"

struct reading {
  struct arena_battles *battles;
  const char *path;     /* of the file */
  const char *baseline; /* its name, or UNNAMED */
  char model[256];      /* of records that name none */
  json_t *seen;         /* "MODEL\tQUESTION" -> place, of games */
};

static const char *const endings[] = {".gz", ".jsonl", ".json", ".tsv", ".csv"};
enum { N_ENDINGS = sizeof endings / sizeof *endings };

static bool has_ending(const char *name, size_t len, const char *ending)
{
  size_t n = strlen(ending);
  return len > n && strncmp(name + len - n, ending, n) == 0;
}

/* Bytes of a file's name without its endings: "a-8B.tsv.gz" is of "a-8B". */
static size_t stem(const char *name)
{
  size_t len = strlen(name);
  for (int i = 0; i < N_ENDINGS; i++)
    if (has_ending(name, len, endings[i])) len -= strlen(endings[i]);
  return len;
}

static void name_model(struct reading *r)
{
  const char *slash = strrchr(r->path, '/'), *name = slash ? slash + 1 : r->path;
  snprintf(r->model, sizeof r->model, "%.*s", (int)(stem(name) < 255 ? stem(name) : 255), name);
}

/* A text that must be there and say something. */
static int require_text(const struct eval_row *row, const char *name, const char **out, struct tpo_error *err)
{
  int status = eval_row_text(row, name, out, err);
  if (status < 0 || (*out && **out)) return status;
  return tpo_fail(err, TPO_E_INPUT, "%s: \"%s\" is empty", row->place, name);
}

static int model_of_row(const struct reading *r, const struct eval_row *row, int32_t *out,
                        struct tpo_error *err)
{
  const char *name = r->model;
  int status = eval_row_has(row, "model") ? require_text(row, "model", &name, err) : 0;
  if (status < 0) return status;
  if (strcmp(name, r->baseline) == 0)
    return tpo_fail(err, TPO_E_INPUT, "%s: the model is the baseline, %.200s, itself", row->place, name);
  return arena_model_of(r->battles, name, out, err);
}

static int refuse_winner(const struct eval_row *row, const char *winner, const char *expected,
                         struct tpo_error *err)
{
  return tpo_fail(err, TPO_E_INPUT, "%s: \"winner\" is \"%.60s\"; expected %s", row->place, winner, expected);
}

/* model_a, model_b, winner */
static int take_pair(struct reading *r, const struct eval_row *row, struct tpo_error *err)
{
  const char *a, *b, *winner;
  struct arena_battle battle = {.won = 0.5};
  int status = require_text(row, "model_a", &a, err);
  if (status == 0) status = require_text(row, "model_b", &b, err);
  if (status == 0) status = require_text(row, "winner", &winner, err);
  if (status < 0) return status;
  if (strcmp(a, b) == 0)
    return tpo_fail(err, TPO_E_INPUT, "%s: \"model_a\" and \"model_b\" are both %.200s", row->place, a);
  if (strcmp(winner, "model_a") == 0)
    battle.won = 1;
  else if (strcmp(winner, "model_b") == 0)
    battle.won = 0;
  else if (strcmp(winner, "tie") != 0 && strcmp(winner, "tie (bothbad)") != 0)
    return refuse_winner(row, winner, "model_a, model_b or tie", err);
  status = arena_model_of(r->battles, a, &battle.a, err);
  if (status == 0) status = arena_model_of(r->battles, b, &battle.b, err);
  return status < 0 ? status : arena_add_battle(r->battles, battle, 1, err);
}

static int take_battle(void *arg, const struct eval_row *row, struct tpo_error *err)
{
  struct reading *r = arg;
  const char *winner;
  struct arena_battle battle = {.won = 0.5};
  if (eval_row_has(row, "model_a")) return take_pair(r, row, err);
  int status = require_text(row, "winner", &winner, err);
  if (status < 0) return status;
  if (strcmp(winner, "baseline") == 0)
    battle.won = 1;
  else if (strcmp(winner, "model") == 0)
    battle.won = 0;
  else if (strcmp(winner, "tie") != 0)
    return refuse_winner(row, winner, "baseline, model or tie", err);
  status = arena_model_of(r->battles, r->baseline, &battle.a, err);
  if (status == 0) status = model_of_row(r, row, &battle.b, err);
  return status < 0 ? status : arena_add_battle(r->battles, battle, 1, err);
}

/* That no question of a model comes twice. */
static int check_once(struct reading *r, const struct eval_row *row, int32_t model, struct tpo_error *err)
{
  const char *id;
  int status = require_text(row, eval_row_has(row, "uid") ? "uid" : "question_id", &id, err);
  if (status < 0) return status;
  struct tpo_buf key = {0};
  tpo_buf_printf(&key, "%d\t%s", model, id);
  const char *before = key.failed ? NULL : json_string_value(json_object_get(r->seen, key.data));
  if (before)
    status = tpo_fail(err, TPO_E_INPUT, "%s: question %.100s of %.200s stands in %.200s already", row->place,
                      id, r->battles->models[model].name, before);
  else if (key.failed || json_object_set_new(r->seen, key.data, json_string(row->place)) < 0)
    status = tpo_fail(err, TPO_E_MEMORY, "no memory for games");
  tpo_buf_free(&key);
  return status;
}

/* Of {"score": ...}; a game that is null has no verdict. */
static int score_of(const struct eval_row *row, const json_t *game, size_t at, const char **label,
                    struct tpo_error *err)
{
  const json_t *score = json_object_get(game, "score");
  *label = json_string_value(score);
  if (json_is_null(game) || *label || json_is_null(score)) return 0;
  return tpo_fail(err, TPO_E_INPUT, "%s: \"games\"[%zu]: expected an object with \"score\", a label or null",
                  row->place, at);
}

static int labels_of(const struct eval_row *row, const char *labels[ARENA_GAMES], struct tpo_error *err)
{
  const json_t *games = json_object_get(row->fields, "games");
  int status = 0;
  if (!games) {
    status = eval_row_text(row, "game1", &labels[0], err);
    return status < 0 ? status : eval_row_text(row, "game2", &labels[1], err);
  }
  if (!json_is_array(games) || json_array_size(games) > ARENA_GAMES)
    return tpo_fail(err, TPO_E_INPUT, "%s: \"games\": expected an array of %d", row->place, ARENA_GAMES);
  for (size_t i = 0; i < json_array_size(games) && status == 0; i++)
    status = score_of(row, json_array_get(games, i), i, &labels[i], err);
  return status;
}

static int take_games(void *arg, const struct eval_row *row, struct tpo_error *err)
{
  struct reading *r = arg;
  int32_t baseline, model;
  const char *labels[ARENA_GAMES] = {NULL};
  int status = labels_of(row, labels, err);
  if (status == 0) status = arena_model_of(r->battles, r->baseline, &baseline, err);
  if (status == 0) status = model_of_row(r, row, &model, err);
  if (status == 0) status = check_once(r, row, model, err);
  for (int game = 0; game < ARENA_GAMES && status == 0; game++) {
    const char *label = labels[game] && *labels[game] ? labels[game] : NULL;
    status = arena_add_game(r->battles, baseline, model, game, label, err);
  }
  return status;
}

static int read_file(struct reading *r, enum arena_file kind, const char *path, struct tpo_error *err)
{
  r->path = path;
  name_model(r);
  if (json_array_append_new(r->battles->files, json_string(path)) < 0)
    return tpo_fail(err, TPO_E_INPUT, "%s: not a name in UTF-8", path);
  return eval_rows_read(path, kind == ARENA_GAMES_FILE ? take_games : take_battle, r, err);
}

static int is_ours(const struct dirent *entry)
{
  return *entry->d_name != '.' && entry->d_name[stem(entry->d_name)] != '\0';
}

/* "m.tsv" and "m.tsv.gz" are one model's, and would count twice. stems: stem -> file's name. */
static int check_stem(json_t *stems, const char *folder, const char *name, struct tpo_error *err)
{
  const char *key = strndupa(name, stem(name));
  const char *before = json_string_value(json_object_get(stems, key));
  if (before)
    return tpo_fail(err, TPO_E_INPUT, "%s: %s and %s are both of %s; expected one file of each name", folder,
                    before, name, key);
  if (json_object_set_new(stems, key, json_string(name)) == 0) return 0;
  return tpo_fail(err, TPO_E_INPUT, "%s/%s: not a name in UTF-8", folder, name);
}

static int read_folder(struct reading *r, enum arena_file kind, const char *folder, struct tpo_error *err)
{
  struct dirent **names;
  int n = scandir(folder, &names, is_ours, alphasort), status = 0;
  if (n < 0) return tpo_fail(err, TPO_E_USAGE, "%s can't be read: %m", folder);
  json_t *stems = json_object();
  for (int i = 0; i < n && status == 0; i++) status = check_stem(stems, folder, names[i]->d_name, err);
  json_decref(stems);
  for (int i = 0; i < n; i++) {
    char path[4096];
    if (status == 0) status = tpo_path_join(path, sizeof path, folder, names[i]->d_name, err);
    if (status == 0) status = read_file(r, kind, path, err);
    free(names[i]);
  }
  free(names);
  if (status == 0 && n == 0)
    status = tpo_fail(err, TPO_E_INPUT, "%s: holds no file of .jsonl, .json, .tsv, .csv or these with .gz",
                      folder);
  return status;
}

int arena_read(struct arena_battles *battles, enum arena_file kind, const char *path, const char *baseline,
               struct tpo_error *err)
{
  struct reading r = {.battles = battles, .baseline = baseline ? baseline : UNNAMED, .seen = json_object()};
  if (!battles->files) battles->files = json_array();
  if (!r.seen || !battles->files) {
    json_decref(r.seen);
    return tpo_fail(err, TPO_E_MEMORY, "no memory for battles");
  }
  int status = tpo_is_dir(path) ? read_folder(&r, kind, path, err) : read_file(&r, kind, path, err);
  json_decref(r.seen);
  return status;
}

static int tell_models(const struct arena_battles *battles, const char *what, struct tpo_error *err)
{
  struct tpo_buf names = {0};
  for (size_t i = 0; i < battles->n_models && names.len < 500; i++)
    tpo_buf_printf(&names, "%s%.100s", i ? ", " : "", battles->models[i].name);
  tpo_fail(err, TPO_E_USAGE, "%s; there are %s", what, names.failed || !names.len ? "none" : names.data);
  tpo_buf_free(&names);
  return TPO_E_USAGE;
}

static bool is_in_all(const struct arena_battles *battles, int32_t model)
{
  for (size_t i = 0; i < battles->n; i++)
    if (battles->list[i].a != model && battles->list[i].b != model) return false;
  return battles->n > 0;
}

int arena_find_baseline(const struct arena_battles *battles, const char *name, size_t *baseline,
                        struct tpo_error *err)
{
  const json_t *known = json_object_get(battles->index, name ? name : UNNAMED);
  *baseline = (size_t)json_integer_value(known);
  if (known) return 0;
  char what[300];
  snprintf(what, sizeof what, "no battle is of the baseline %.200s", name ? name : "");
  if (name) return tell_models(battles, what, err);
  *baseline = battles->n ? (size_t)battles->list[0].a : 0;
  if (is_in_all(battles, (int32_t)*baseline)) return 0;
  return tell_models(battles, "no one model takes part in all battles: --anchor names the baseline", err);
}
