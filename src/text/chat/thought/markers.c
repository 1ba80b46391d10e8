/* A layout and a model: whether its tokenizer can make the markers, what its chat template says of thoughts itself,
 * and what an output's text begins with. */
#include <string.h>
#include "base/json.h"
#include "config/layouts.h"
#include "text/chat/thought/think_template.h"
#include "text/chat/thought/thought.h"
#include "text/tokenizer.h"
#include "text/unicode/space.h"

#define OPEN "<think>"
#define CLOSE "</think>"

int tpo_thought_marker_ids(const char *marker, const struct tpo_tokenizer *tok, struct tpo_ids *out,
                           struct tpo_error *err)
{
  if (!marker) return TPO_OK;
  return tpo_tokenizer_encode(tok, marker, strlen(marker), TPO_ENCODE_CONTINUE | TPO_ENCODE_SPECIAL, out,
                              err);
}

int tpo_thought_marker_tokens(const struct tpo_thought_config *thought, const struct tpo_tokenizer *tok,
                              int *n, struct tpo_error *err)
{
  struct tpo_ids ids = {0};
  int status = tpo_thought_marker_ids(thought->force ? thought->response_marker : NULL, tok, &ids, err);
  *n = (int)ids.n;
  tpo_ids_free(&ids);
  return status;
}

/* What an output of these tokens would say must be the marker itself. */
static int check_marker(const char *key, const char *marker, const struct tpo_tokenizer *tok,
                        struct tpo_error *err)
{
  struct tpo_ids ids = {0};
  struct tpo_buf said = {0};
  if (!given(marker)) return TPO_OK;
  int status = tpo_thought_marker_ids(marker, tok, &ids, err);
  for (size_t i = 0; i < ids.n && status == TPO_OK; i++) {
    size_t len;
    const char *bytes = tpo_tokenizer_token(tok, ids.ids[i], &len, NULL);
    if (bytes) tpo_buf_append(&said, bytes, len);
  }
  if (status == TPO_OK && said.failed) status = tpo_fail(err, TPO_E_MEMORY, "no memory for a marker");
  if (status == TPO_OK && (said.len != strlen(marker) || memcmp(said.data, marker, said.len) != 0))
    status = tpo_fail(err, TPO_E_USAGE,
                      "%s: the model's tokenizer can't make \"%.200s\", of whose tokens the text is \"%.*s\"",
                      key, marker, said.len < 200 ? (int)said.len : 200, said.data ? said.data : "");
  tpo_ids_free(&ids);
  tpo_buf_free(&said);
  return status;
}

int tpo_thought_spoken_ids(const struct tpo_thought_config *thought, const struct tpo_tokenizer *tok,
                           struct tpo_ids *out, struct tpo_error *err)
{
  struct tpo_ids ids = {0};
  int status = tpo_thought_marker_ids(thought->thought_marker, tok, &ids, err);
  if (status == TPO_OK) status = tpo_thought_marker_ids(thought->response_marker, tok, &ids, err);
  for (size_t i = 0; i < ids.n && status == TPO_OK; i++) {
    size_t len;
    bool special = false;
    if (tpo_tokenizer_token(tok, ids.ids[i], &len, &special) && special)
      status = tpo_ids_append(out, &ids.ids[i], 1, err);
  }
  tpo_ids_free(&ids);
  return status;
}

/* The end of a prompt: what the template says after the instruction, and behind it the layout's prefill. */
struct ending {
  struct tpo_rendered r;
  size_t begin, prefill;
};

static int render_ending(const struct tpo_thought_config *thought, const struct tpo_template *tmpl,
                         struct ending *out, struct tpo_error *err)
{
  static const char probe[] = "Say which number comes after 4.";
  size_t prefill = given(thought->prefill) ? strlen(thought->prefill) : 0;
  int status = thought_render_spans(thought, tmpl, probe, NULL, &out->r, err);
  if (status < 0) return status;
  const char *text = out->r.text.data ? out->r.text.data : "";
  out->prefill = out->r.text.len - prefill;
  for (const char *at = text; (at = strstr(at, probe)); at++)
    out->begin = (size_t)(at - text) + strlen(probe);
  return TPO_OK;
}

/* Whether the template itself says it: what the layout's prompt adds behind the instruction doesn't count. */
static bool is_own(const struct tpo_rendered *r, size_t begin)
{
  for (size_t i = 0; i < r->n; i++)
    if (r->runs[i].begin <= begin && begin < r->runs[i].end) return r->origins.items[r->runs[i].origin].own;
  return false;
}

/* The last place where the template says `marker` in that ending; SIZE_MAX: nowhere. */
static size_t last_own(const struct ending *e, const char *marker)
{
  size_t len = strlen(marker), found = SIZE_MAX;
  for (size_t at = e->begin; at + len <= e->prefill; at++)
    if (memcmp(e->r.text.data + at, marker, len) == 0 && is_own(&e->r, at)) found = at;
  return found;
}

/* Where the template begins a thought, with nothing but white space behind it; SIZE_MAX: nowhere. */
static size_t opened_at(const struct ending *e, const char *open)
{
  size_t at = given(open) ? last_own(e, open) : SIZE_MAX;
  if (at == SIZE_MAX) return at;
  size_t begin = at + strlen(open), end = e->prefill;
  tpo_trim(e->r.text.data, &begin, &end);
  return begin == end ? at : SIZE_MAX;
}

int tpo_thought_begun(const struct tpo_thought_config *thought, const struct tpo_template *tmpl,
                      struct tpo_buf *out, struct tpo_error *err)
{
  struct ending e = {0};
  int status = tmpl && given(thought->thought_marker) && given(thought->response_marker)
                   ? render_ending(thought, tmpl, &e, err)
                   : TPO_OK;
  size_t at = status == TPO_OK ? opened_at(&e, thought->thought_marker) : SIZE_MAX;
  if (at != SIZE_MAX)
    tpo_buf_append(out, e.r.text.data + at, e.r.text.len - at);
  else if (status == TPO_OK && given(thought->prefill))
    tpo_buf_puts(out, thought->prefill);
  if (status == TPO_OK && out->failed)
    status = tpo_fail(err, TPO_E_MEMORY, "no memory for a layout's beginning");
  tpo_rendered_free(&e.r);
  return status;
}

/* What a template says of thoughts. */
enum thinking { NO_THINKING, OTHER_THINKING, ENDED, TAGS };

/* The source of a model's own template, without the mark of exported ones, which speaks of thoughts too. */
static enum thinking said_of(const struct tpo_template *tmpl)
{
  const char *source = tmpl->tok->chat_template;
  if (tpo_template_asks_for_thought(source)) source = strstr(source, "#}");
  if (strstr(source, OPEN) || strstr(source, CLOSE)) return TAGS;
  return strcasestr(source, "think") ? OTHER_THINKING : NO_THINKING;
}

/* A thought that the template begins, beside a layout that doesn't begin its own with that tag. */
static void warn_of_opened(const struct tpo_thought_config *thought, struct tpo_buf *warning)
{
  const char *name = thought->name ? thought->name : "";
  if (!given(thought->response_marker))
    tpo_buf_printf(warning,
                   "the model's chat template begins a thought with " OPEN ", and the thought layout \"%s\" "
                   "takes all of an output for the response; where a layout can be chosen, think-tags tells "
                   "the two apart",
                   name);
  else if (given(thought->thought_marker) || strcmp(thought->response_marker, CLOSE) != 0)
    tpo_buf_printf(warning,
                   "the model's chat template begins a thought of its own with " OPEN ", and the thought "
                   "layout \"%s\" asks for another; thought: think-tags takes the model's",
                   name);
}

/* What the template says of thoughts, held against the layout. */
static int compare(const struct tpo_thought_config *thought, const struct tpo_template *tmpl,
                   const struct ending *e, struct tpo_buf *warning, struct tpo_error *err)
{
  const char *name = thought->name ? thought->name : "";
  bool tags = given(thought->thought_marker) && strcmp(thought->thought_marker, OPEN) == 0;
  bool opened = opened_at(e, OPEN) != SIZE_MAX;
  if (tags && opened && given(thought->prefill) && strstr(thought->prefill, OPEN))
    return tpo_fail(err, TPO_E_USAGE,
                    "thought.prefill holds " OPEN ", which the model's chat template says already; "
                    "expected a layout without it, as think-tags");
  if (opened && !tags)
    warn_of_opened(thought, warning);
  else if (tags && !opened && last_own(e, CLOSE) != SIZE_MAX)
    tpo_buf_printf(
        warning,
        "the model's chat template ends the thought in the prompt, with " CLOSE ", so that no output of the "
        "thought layout \"%s\" holds one; thought.template_args has the switches that the template knows",
        name);
  else if (tags && !thought_asks(thought) && tmpl->kind == TPO_TEMPLATE_MODEL && said_of(tmpl) != TAGS)
    tpo_buf_printf(warning,
                   "the model's chat template knows no " OPEN ", and the thought layout \"%s\" doesn't ask "
                   "for one: a thought comes only where the model has learnt to think by itself",
                   name);
  else if (given(thought->template_args) && tmpl->kind == TPO_TEMPLATE_CONFIGURED &&
           !layout_args_are_built_in(thought))
    tpo_buf_puts(
        warning,
        "thought.template_args switch nothing: they are for the model's own chat template, which the "
        "pieces under `template:` have taken the place of");
  return TPO_OK;
}

/* Refuses, telling which layout reads what an exported model's template asks for. */
static int fail_asked(const struct tpo_template *tmpl, const char *problem, const char *name,
                      const struct tpo_buf *marker, struct tpo_error *err)
{
  struct tpo_buf advice = {0};
  if (marker->len > 0) {
    tpo_buf_puts(&advice, "a layout's file that holds {prompt: \"{instruction}\", response_marker: ");
    tpo_json_append_string(&advice, marker->data, marker->len);
    tpo_buf_puts(&advice, "}, ");
  }
  int status =
      tpo_fail(err, TPO_E_USAGE,
               "%s: its chat template asks for a thought already, as tpo export writes them, and "
               "layout \"%s\" %s; expected thought: none, %sor the checkpoint that was exported",
               tmpl->tok->place, name ? name : "", problem, advice.data && !advice.failed ? advice.data : "");
  tpo_buf_free(&advice);
  return status;
}

/* The marker that an exported model's template asks to be put before the response. */
static int asked_marker(const struct tpo_template *tmpl, struct tpo_buf *out, struct tpo_error *err)
{
  tpo_template_asked_marker(tmpl->tok->chat_template, out);
  return out->failed ? tpo_fail(err, TPO_E_MEMORY, "no memory for a marker") : TPO_OK;
}

/* An exported model's template asks by itself: the layout must not ask once more, nor look for another thought. */
static int check_asked_once(const struct tpo_thought_config *thought, const struct tpo_template *tmpl,
                            struct tpo_error *err)
{
  struct tpo_buf marker = {0};
  if (tmpl->kind != TPO_TEMPLATE_MODEL || !tpo_template_asks_for_thought(tmpl->tok->chat_template))
    return TPO_OK;
  int status = asked_marker(tmpl, &marker, err);
  if (status == TPO_OK && thought_asks(thought))
    status = fail_asked(tmpl, "would ask once more", thought->name, &marker, err);
  else if (status == TPO_OK && marker.len > 0 && given(thought->response_marker) &&
           strcmp(thought->response_marker, marker.data) != 0)
    status = fail_asked(tmpl, "looks for another", thought->name, &marker, err);
  tpo_buf_free(&marker);
  return status;
}

int tpo_thought_check(const struct tpo_thought_config *thought, const struct tpo_tokenizer *tok,
                      const struct tpo_template *tmpl, struct tpo_buf *warning, struct tpo_error *err)
{
  struct ending e = {0};
  if (tpo_config_thought_is_open(thought))
    return tpo_fail(err, TPO_E_USAGE,
                    "thought: auto is not settled on a layout: tpo_thought_resolve does that");
  int status = check_marker("thought.thought_marker", thought->thought_marker, tok, err);
  if (status == TPO_OK) status = check_marker("thought.response_marker", thought->response_marker, tok, err);
  if (status == TPO_OK && tmpl) status = check_asked_once(thought, tmpl, err);
  if (status == TPO_OK && tmpl) {
    status = render_ending(thought, tmpl, &e, err);
    if (status == TPO_OK) status = compare(thought, tmpl, &e, warning, err);
  }
  tpo_rendered_free(&e.r);
  return status;
}

int tpo_thought_check_and_warn(const struct tpo_thought_config *thought, const struct tpo_tokenizer *tok,
                               const struct tpo_template *tmpl, struct tpo_error *err)
{
  struct tpo_buf warning = {0};
  int status = tpo_thought_check(thought, tok, tmpl, &warning, err);
  if (status == TPO_OK && warning.len > 0) tpo_log(TPO_LOG_WARN, "%s", warning.data);
  tpo_buf_free(&warning);
  return status;
}

/* Of a prompt under think-tags, with these switches if any are given, what is said behind the instruction. */
static int shown_by(const struct tpo_template *tmpl, const char *args, enum thinking *out,
                    struct tpo_error *err)
{
  struct tpo_config config;
  struct ending e = {0};
  tpo_config_default(&config);
  int status = tpo_config_set_thought(&config, "think-tags", "thought: auto", err);
  struct tpo_thought_config layout = config.thought;
  if (given(args)) layout.template_args = (char *)args;
  if (status == TPO_OK) status = render_ending(&layout, tmpl, &e, err);
  *out = NO_THINKING;
  if (status == TPO_OK && last_own(&e, CLOSE) != SIZE_MAX) *out = ENDED;
  if (status == TPO_OK &&
      (opened_at(&e, OPEN) != SIZE_MAX || (*out == NO_THINKING && last_own(&e, OPEN) != SIZE_MAX)))
    *out = TAGS;
  tpo_rendered_free(&e.r);
  tpo_config_free(&config);
  return status;
}

/* Of the model's own, its source tells, unless a prompt shows that the thought is over; of pieces, the prompt. */
static int thinking_of(const struct tpo_template *tmpl, const char *args, enum thinking *out,
                       struct tpo_error *err)
{
  enum thinking shown;
  bool own = tmpl->kind == TPO_TEMPLATE_MODEL;
  *out = own ? said_of(tmpl) : NO_THINKING;
  if (own && *out != TAGS) return TPO_OK;
  int status = shown_by(tmpl, args, &shown, err);
  if (!own || shown == ENDED) *out = shown;
  return status;
}

/* An exported model's template asks for one thought: think-tags reads that or none of the two does. */
static int check_asked_tags(const struct tpo_template *tmpl, struct tpo_error *err)
{
  struct tpo_buf marker = {0};
  if (tmpl->kind != TPO_TEMPLATE_MODEL) return TPO_OK;
  int status = asked_marker(tmpl, &marker, err);
  if (status == TPO_OK && marker.len > 0 && strcmp(marker.data, CLOSE) != 0)
    status = fail_asked(tmpl, "has none that reads it", "auto", &marker, err);
  tpo_buf_free(&marker);
  return status;
}

int tpo_thought_resolve(struct tpo_config *config, const struct tpo_template *tmpl, const char **why,
                        struct tpo_error *err)
{
  static const char *const reasons[] = {
      [NO_THINKING] = "the model's chat template knows no <think>",
      [OTHER_THINKING] =
          "the model's chat template knows thoughts, but not in <think>; a layout's file may name its tags",
      [ENDED] = "the model's chat template ends the thought in the prompt, with </think>",
      [TAGS] = "the model's chat template knows thoughts of its own, in <think>"};
  enum thinking thinking = NO_THINKING;
  /* beside auto, which has none, these are given ones */
  const char *args = tpo_config_thought_is_open(&config->thought) ? config->thought.template_args : NULL;
  int status = check_asked_tags(tmpl, err);
  if (status == TPO_OK) status = thinking_of(tmpl, args, &thinking, err);
  if (status < 0) return status;
  if (why) *why = reasons[thinking];
  return tpo_config_settle_thought(config, thinking == TAGS ? "think-tags" : "generic", err);
}
