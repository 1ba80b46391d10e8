/* The files that an evaluation begins with. */
#include <string.h>

#include "cli/eval/alpaca.h"
#include "eval/alpaca/leaderboard.h"
#include "eval/alpaca/outputs.h"
#include "eval/provenance.h"
#include "steps/room.h"

/* A prompt that is too long for the model is a bad row. first: the rank that checks the layout. */
static int read_to_draw(const struct tpo_config *config, const struct alpaca_request *r, bool first,
                        struct tpo_instructions *set, struct tpo_error *err)
{
  struct prompt_room *room = NULL;
  struct tpo_policy policy;
  int status = tpo_policy_open_text(&policy, config, config->model.path, err);
  if (status == 0 && first) status = tpo_policy_check_thought(&policy, config, err);
  if (status == 0) status = prompt_room_open(&room, config, &policy, err);
  if (status == 0 && r->prompts)
    status = alpaca_prompts_read(set, r->prompts, config->data.skip_bad, prompt_room_check, room, err);
  prompt_room_close(room);
  tpo_policy_close(&policy);
  return status;
}

static int read_prompts(const struct tpo_config *config, const struct alpaca_request *r, bool first,
                        struct tpo_instructions *set, struct tpo_error *err)
{
  if (r->draws) return read_to_draw(config, r, first, set, err);
  return r->prompts ? alpaca_prompts_read(set, r->prompts, config->data.skip_bad, NULL, NULL, err) : 0;
}

/* The baseline has an output for each of the prompts. */
static int check_known(const struct alpaca_parts *parts, const char *path, struct tpo_error *err)
{
  json_t *known = json_object(), *record;
  size_t i;
  int status = 0;
  json_array_foreach(parts->baseline, i, record)
      json_object_set(known, json_string_value(json_object_get(record, "instruction")), json_true());
  for (i = 0; i < parts->prompts.n && status == 0; i++)
    if (!json_object_get(known, parts->prompts.items[i].instruction))
      status = tpo_fail(err, TPO_E_INPUT, "%s has no output for instruction %s of --prompts", path,
                        parts->prompts.items[i].id);
  json_decref(known);
  return status;
}

static int read_outputs(const struct alpaca_request *r, struct alpaca_parts *parts, struct tpo_error *err)
{
  const struct tpo_instructions *prompts = r->prompts ? &parts->prompts : NULL;
  char name[256];
  int status = r->outputs ? alpaca_outputs_read(&parts->outputs, r->outputs, prompts, r->generator, err) : 0;
  if (status == 0 && r->outputs && r->renames)
    status = alpaca_outputs_rename(parts->outputs, r->generator, err);
  if (status < 0 || !r->judges) return status;
  alpaca_name_of_file(r->baseline, name);
  status = alpaca_outputs_read(&parts->baseline, r->baseline, prompts, name, err);
  return status == 0 && r->draws ? check_known(parts, r->baseline, err) : status;
}

/* The instructions that will be judged: those of the outputs, or those that are answered first. */
static json_t *asked(const struct alpaca_parts *parts)
{
  json_t *out = json_object(), *record;
  size_t i;
  json_array_foreach(parts->outputs, i, record)
      json_object_set_new(out, json_string_value(json_object_get(record, "instruction")), json_true());
  for (i = 0; !parts->outputs && i < parts->prompts.n; i++)
    json_object_set_new(out, parts->prompts.items[i].instruction, json_true());
  return out;
}

/* Rank 0. Each row that the regression will have has a difficulty. */
static int check_given(const struct alpaca_request *r, const struct alpaca_parts *parts,
                       struct tpo_error *err)
{
  size_t i;
  json_t *record;
  if (parts->given.n_difficulty == 0) return 0; /* there will be none, and the result says why */
  int status = alpaca_given_check(&parts->given, err);
  json_t *of = asked(parts);
  json_array_foreach(parts->baseline, i, record)
  {
    if (status < 0 || !json_object_get(of, json_string_value(json_object_get(record, "instruction"))))
      continue;
    status = alpaca_require_difficulty(&parts->given, i, r->baseline, i, err);
  }
  json_decref(of);
  return status;
}

/* Rank 0. */
static int read_given(const struct alpaca_request *r, struct alpaca_parts *parts, struct tpo_error *err)
{
  int status = r->gamed ? alpaca_gamed_read(&parts->given, r->gamed, err) : 0;
  if (status == 0 && r->difficulty) status = alpaca_difficulty_read(&parts->given, r->difficulty, err);
  return status < 0 || !r->gamed ? status : check_given(r, parts, err);
}

/* Rank 0: before anything is drawn or judged for them. */
static int check_leaderboards(const struct alpaca_request *r, struct tpo_error *err)
{
  int status = 0;
  for (int i = 0; i < 2 && status == 0; i++)
    if (*r->leaderboards_to.paths[i]) status = alpaca_leaderboard_check(r->leaderboards_to.paths[i], err);
  return status;
}

/* Rank 0. */
static int put_files(const struct alpaca_request *r, json_t *provenance, struct tpo_error *err)
{
  const char *const files[][2] = {{"prompts", r->prompts},
                                  {"outputs", r->outputs},
                                  {"baseline", r->baseline},
                                  {"gamed", r->gamed},
                                  {"difficulty", r->difficulty}};
  int status = 0;
  for (size_t i = 0; i < sizeof files / sizeof *files && status == 0; i++)
    if (files[i][1]) status = eval_provenance_file(provenance, files[i][0], files[i][1], err);
  return status;
}

int alpaca_read_inputs(const struct cli_session *s, const struct alpaca_request *r,
                       struct alpaca_parts *parts, struct tpo_error *err)
{
  const struct tpo_config *config = s->session.config;
  bool first = cli_first_rank(s);
  int status = read_prompts(config, r, first, &parts->prompts, err);
  if (status == 0) status = read_outputs(r, parts, err);
  if (status == 0 && first) status = read_given(r, parts, err);
  if (status == 0 && first) status = check_leaderboards(r, err);
  if (status == 0 && first) status = put_files(r, parts->provenance, err);
  return tpo_comm_agree(s->session.comm, status, err);
}
