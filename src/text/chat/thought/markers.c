/* A layout and a model: whether its tokenizer can make the markers, what its chat template says of thoughts itself,
 * and what an output's text begins with. */
#include <string.h>
#include "config/layouts.h"
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

/* What the template says of thoughts, held against the layout. */
static int compare(const struct tpo_thought_config *thought, enum tpo_template_kind kind,
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
    tpo_buf_printf(warning,
                   "the model's chat template begins a thought of its own with " OPEN ", and the thought "
                   "layout \"%s\" asks for another; thought: think-tags takes the model's",
                   name);
  else if (tags && !opened && last_own(e, CLOSE) != SIZE_MAX)
    tpo_buf_printf(
        warning,
        "the model's chat template ends the thought in the prompt, with " CLOSE ", so that no output of the "
        "thought layout \"%s\" holds one; thought.template_args has the switches that the template knows",
        name);
  else if (given(thought->template_args) && kind == TPO_TEMPLATE_CONFIGURED &&
           !layout_args_are_built_in(thought))
    tpo_buf_puts(
        warning,
        "thought.template_args switch nothing: they are for the model's own chat template, which the "
        "pieces under `template:` have taken the place of");
  return TPO_OK;
}

/* An exported model's template asks by itself: the layout must not ask once more. */
static int check_asked_once(const struct tpo_thought_config *thought, const struct tpo_template *tmpl,
                            struct tpo_error *err)
{
  if (!thought_asks(thought) || tmpl->kind != TPO_TEMPLATE_MODEL ||
      !tpo_template_asks_for_thought(tmpl->tok->chat_template))
    return TPO_OK;
  return tpo_fail(
      err, TPO_E_USAGE,
      "%s: its chat template asks for a thought already, as tpo export writes them, and layout \"%s\" would "
      "ask once more; expected thought: none, a layout of markers alone, or the checkpoint that was exported",
      tmpl->tok->place, thought->name ? thought->name : "");
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
    if (status == TPO_OK) status = compare(thought, tmpl->kind, &e, warning, err);
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

/* What a template says of thoughts: of the model's own, in its source; of pieces, behind an instruction. */
enum thinking { NO_THINKING, OTHER_THINKING, TAGS };

static int thinking_of(const struct tpo_template *tmpl, enum thinking *out, struct tpo_error *err)
{
  static const struct tpo_thought_config plain = {0};
  struct ending e = {0};
  if (tmpl->kind == TPO_TEMPLATE_MODEL) {
    const char *source = tmpl->tok->chat_template;
    bool tags = strstr(source, OPEN) || strstr(source, CLOSE);
    *out = tags ? TAGS : strcasestr(source, "think") ? OTHER_THINKING : NO_THINKING;
    return TPO_OK;
  }
  int status = render_ending(&plain, tmpl, &e, err);
  bool tags = status == TPO_OK && (last_own(&e, OPEN) != SIZE_MAX || last_own(&e, CLOSE) != SIZE_MAX);
  *out = tags ? TAGS : NO_THINKING;
  tpo_rendered_free(&e.r);
  return status;
}

int tpo_thought_reason(const struct tpo_template *tmpl, const char **why, struct tpo_error *err)
{
  static const char *const reasons[] = {
      [NO_THINKING] = "the model's chat template knows no <think>",
      [OTHER_THINKING] =
          "the model's chat template knows thoughts, but not in <think>; a layout's file may name its tags",
      [TAGS] = "the model's chat template knows thoughts of its own, in <think>"};
  enum thinking thinking = NO_THINKING;
  int status = thinking_of(tmpl, &thinking, err);
  *why = reasons[thinking];
  return status;
}

int tpo_thought_resolve(struct tpo_config *config, const struct tpo_template *tmpl, struct tpo_error *err)
{
  enum thinking thinking;
  int status = thinking_of(tmpl, &thinking, err);
  return status < 0 ? status
                    : tpo_config_settle_thought(config, thinking == TAGS ? "think-tags" : "generic", err);
}
