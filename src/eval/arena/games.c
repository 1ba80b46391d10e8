/* Games into files. */
#include "eval/arena/games.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/utf8.h"
#include "checks/text.h"

static int finish(struct tpo_buf *out, const char *path, struct tpo_error *err)
{
  int status = out->failed ? tpo_fail(err, TPO_E_MEMORY, "no memory for games")
                           : tpo_write_file(path, out->data ? out->data : "", out->len, err);
  tpo_buf_free(out);
  return status;
}

static int check_cell(const char *name, struct tpo_error *err)
{
  if (!strpbrk(name, "\t\r\n")) return 0;
  return tpo_fail(err, TPO_E_INPUT,
                  "a table can't hold a tab or a line break, as a name or question's id has: %.200s", name);
}

int arena_games_check(const struct arena_judging *judging, const char *model, struct tpo_error *err)
{
  int status = check_cell(model, err);
  for (size_t i = 0; i < judging->n && status == 0; i++) status = check_cell(judging->contests[i].id, err);
  return status;
}

int arena_games_write_table(const struct arena_judging *judging, const char *model, const char *path,
                            struct tpo_error *err)
{
  struct tpo_buf out = {0};
  int status = arena_games_check(judging, model, err);
  if (status < 0) return status;
  tpo_buf_puts(&out, "question_id\tmodel\tgame1\tgame2\n");
  for (size_t i = 0; i < judging->n; i++) {
    const struct arena_contest *c = &judging->contests[i];
    tpo_buf_printf(&out, "%s\t%s\t%s\t%s\n", c->id, model, c->games[0].label, c->games[1].label);
  }
  return finish(&out, path, err);
}

static json_t *game_json(const struct arena_game *game)
{
  struct tpo_buf valid = {0};
  text_repair(span_of(game->judgment ? game->judgment : ""), &valid);
  tpo_buf_puts(&valid, "");
  json_t *out = valid.failed
                    ? NULL
                    : json_pack("{s:s, s:s, s:s?}", "user_prompt", game->asked, "judgment",
                                valid.data ? valid.data : "", "score", *game->label ? game->label : NULL);
  tpo_buf_free(&valid);
  return out;
}

int arena_games_write_judgments(const struct arena_judging *judging, const char *model, const char *judge,
                                const char *path, struct tpo_error *err)
{
  struct tpo_buf out = {0};
  for (size_t i = 0; i < judging->n && !out.failed; i++) {
    const struct arena_contest *c = &judging->contests[i];
    json_t *record = json_pack("{s:s, s:s, s:s, s:[o, o]}", "question_id", c->id, "model", model, "judge",
                               judge, "games", game_json(&c->games[0]), game_json(&c->games[1]));
    char *text = record ? tpo_json_dump(record) : NULL;
    json_decref(record);
    if (text)
      tpo_buf_printf(&out, "%s\n", text);
    else
      out.failed = true;
    free(text);
  }
  return finish(&out, path, err);
}
