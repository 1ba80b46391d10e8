/* Renders templates for compare_templates.py: JSON lines come in, one answer a line goes out.
 *   {"template": "..."}: opens it; {} or {"error": "..."}. The lines that follow are rendered with it.
 *   {"inputs": {name: value}, "own": [names], "date": "YYYY-MM-DD", "runs": true}: {"text": "..."} or {"error": "..."};
 *   with "runs", also [[begin, end, origin's name, own], ...] in bytes; "seconds" is how long the rendering took. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "text/jinja/jinja.h"
#include "tpo/base.h"

enum { INPUTS_MAX = 256 };

static json_t *error_answer(const struct tpo_error *err)
{
  return json_pack("{s:s, s:i}", "error", err->message, "code", err->code);
}

static json_t *open_template(struct tpo_jinja **jinja, const json_t *source)
{
  tpo_jinja_close(*jinja);
  *jinja = NULL;
  struct tpo_error err = {0};
  if (tpo_jinja_open(jinja, json_string_value(source), json_string_length(source), "t", &err) < 0)
    return error_answer(&err);
  return json_object();
}

static bool listed(const json_t *names, const char *name)
{
  size_t i;
  json_t *item;
  json_array_foreach((json_t *)names, i, item)
  {
    if (!strcmp(json_string_value(item), name)) return true;
  }
  return false;
}

static json_t *runs_of(const struct tpo_rendered *r)
{
  json_t *runs = json_array();
  for (size_t i = 0; i < r->n; i++) {
    const struct tpo_origin_info *origin = &r->origins.items[r->runs[i].origin];
    json_array_append_new(runs, json_pack("[I, I, s, b]", (json_int_t)r->runs[i].begin,
                                          (json_int_t)r->runs[i].end, origin->name, origin->own));
  }
  return runs;
}

static json_t *rendered_answer(const struct tpo_rendered *r, bool with_runs)
{
  json_t *text = json_stringn(r->text.len ? r->text.data : "", r->text.len);
  if (!text) return json_pack("{s:s}", "error", "the rendered text is not UTF-8");
  json_t *answer = json_object();
  json_object_set_new(answer, "text", text);
  if (with_runs) json_object_set_new(answer, "runs", runs_of(r));
  return answer;
}

static double now(void)
{
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static json_t *render(const struct tpo_jinja *jinja, const json_t *request)
{
  struct tpo_jinja_input inputs[INPUTS_MAX];
  size_t n = 0;
  const char *name;
  json_t *value, *own = json_object_get(request, "own");
  json_object_foreach(json_object_get(request, "inputs"), name, value)
  {
    if (n < INPUTS_MAX) inputs[n++] = (struct tpo_jinja_input){name, value, listed(own, name)};
  }
  const char *date = json_string_value(json_object_get(request, "date"));
  struct tpo_rendered out = {0};
  struct tpo_error err = {0};
  json_t *answer;
  double begin = now();
  int code = tpo_jinja_render(jinja, inputs, n, date ? date : "2024-07-26", NULL, &out, &err);
  double seconds = now() - begin;
  if (code < 0)
    answer = error_answer(&err);
  else
    answer = rendered_answer(&out, json_is_true(json_object_get(request, "runs")));
  json_object_set_new(answer, "seconds", json_real(seconds));
  tpo_rendered_free(&out);
  return answer;
}

static json_t *answer_of(struct tpo_jinja **jinja, const json_t *request)
{
  json_t *source = json_object_get(request, "template");
  if (json_is_string(source)) {
    json_t *answer = open_template(jinja, source);
    if (!json_object_get(request, "inputs") || json_object_size(answer)) return answer;
    json_decref(answer);
  }
  if (!*jinja) return json_pack("{s:s}", "error", "no template is open");
  return render(*jinja, request);
}

int main(void)
{
  struct tpo_jinja *jinja = NULL;
  char *line = NULL;
  size_t capacity = 0;
  ssize_t len;
  while ((len = getline(&line, &capacity, stdin)) > 0) {
    json_error_t problem;
    json_t *request = json_loadb(line, (size_t)len, JSON_ALLOW_NUL, &problem);
    json_t *answer = request ? answer_of(&jinja, request) : json_pack("{s:s}", "error", problem.text);
    json_dumpf(answer, stdout, JSON_COMPACT | JSON_ENSURE_ASCII);
    putchar('\n');
    fflush(stdout);
    json_decref(answer);
    json_decref(request);
  }
  free(line);
  tpo_jinja_close(jinja);
  return 0;
}
