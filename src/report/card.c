/* A prompt and its samples, in HTML. All of it is text that a model or a stranger wrote. */
#include <math.h>
#include <string.h>
#include "report/html.h"
#include "report/parts.h"

enum { MOST_CHARACTERS = 12000, MOST_CHECKS = 100, MOST_DETAIL = 2000 };

/* A JSON value: strings and numbers as they are, anything else as JSON. */
static void put_value(struct tpo_buf *out, const json_t *value)
{
  if (json_is_integer(value))
    html_number(out, (double)json_integer_value(value), 0);
  else if (json_is_real(value))
    html_number(out, json_real_value(value), 3);
  else if (json_is_boolean(value))
    tpo_buf_puts(out, json_is_true(value) ? "yes" : "no");
  else if (json_is_string(value) && strlen(json_string_value(value)) == json_string_length(value))
    html_capped(out, json_string_value(value), MOST_DETAIL);
  else {
    char *text = tpo_json_dump(value);
    if (text) html_capped(out, text, MOST_DETAIL);
    free(text);
  }
}

static bool is_check(const json_t *item)
{
  return json_is_string(json_object_get(item, "type")) && json_is_boolean(json_object_get(item, "passed"));
}

/* {"type": ..., "passed": ...} as a line with a mark and a word. */
static void put_verdicts(struct tpo_buf *out, const json_t *checks)
{
  size_t n = json_array_size(checks);
  tpo_buf_puts(out, "<ul class=\"checks\">\n");
  for (size_t i = 0; i < n && i < MOST_CHECKS; i++) {
    const json_t *item = json_array_get(checks, i);
    if (!is_check(item)) {
      tpo_buf_puts(out, "<li>");
      put_value(out, item);
    } else {
      bool passed = json_is_true(json_object_get(item, "passed"));
      tpo_buf_printf(out, "<li class=\"%s\"><span class=\"mark\">%s</span> ", passed ? "pass" : "fail",
                     passed ? "✓ passed" : "✗ failed");
      put_value(out, json_object_get(item, "type"));
    }
    tpo_buf_puts(out, "</li>\n");
  }
  tpo_buf_puts(out, "</ul>\n");
  if (n > MOST_CHECKS) tpo_buf_printf(out, "<p class=\"cut\">%zu more checks</p>\n", n - MOST_CHECKS);
}

static void put_detail(struct tpo_buf *out, const char *text)
{
  json_t *detail = tpo_json_parse(text, strlen(text), "score_detail", NULL);
  if (!json_is_object(detail)) {
    if (*text) {
      tpo_buf_puts(out, "<p class=\"detail\">");
      html_capped(out, text, MOST_DETAIL);
      tpo_buf_puts(out, "</p>\n");
    }
    json_decref(detail);
    return;
  }
  const json_t *checks = json_object_get(detail, "checks");
  if (json_array_size(checks) > 0) put_verdicts(out, checks);
  const char *key;
  json_t *value;
  size_t shown = 0;
  json_object_foreach(detail, key, value)
  {
    if (value == checks && json_is_array(value)) continue;
    if (shown++ == MOST_CHECKS) break;
    tpo_buf_puts(out, shown == 1 ? "<p class=\"detail\">" : " · ");
    html_capped(out, key, 200);
    tpo_buf_puts(out, ": ");
    put_value(out, value);
  }
  if (shown) tpo_buf_puts(out, "</p>\n");
  json_decref(detail);
}

static void put_badge(struct tpo_buf *out, const char *class, const char *word, int count)
{
  tpo_buf_printf(out, " <span class=\"badge %s\">%s", class, word);
  if (count > 1) tpo_buf_printf(out, " × %d", count);
  tpo_buf_puts(out, "</span>");
}

static void put_text(struct tpo_buf *out, const char *class, const char *text)
{
  tpo_buf_printf(out, "<div class=\"%s\" dir=\"auto\">", class);
  html_capped(out, text, MOST_CHARACTERS);
  tpo_buf_puts(out, "</div>\n");
}

static void put_folded(struct tpo_buf *out, const char *name, int tokens, const char *text)
{
  tpo_buf_printf(out, "<details class=\"thought\"><summary>%s", name);
  if (tokens > 0) tpo_buf_printf(out, ", %d tokens", tokens);
  tpo_buf_puts(out, "</summary>\n");
  put_text(out, "text", text);
  tpo_buf_puts(out, "</details>\n");
}

static const char *finish_words(enum tpo_finish finish)
{
  switch (finish) {
  case TPO_FINISH_STOP: return "an end token";
  case TPO_FINISH_STOP_STRING: return "a stop string";
  case TPO_FINISH_LENGTH: return "the token limit";
  case TPO_FINISH_CONTEXT: return "the end of the context";
  }
  return "an unknown cause";
}

static int forced_tokens(const struct tpo_sample_row *row)
{
  int n = 0;
  for (int32_t i = 0; i < row->n_tokens; i++) n += row->inserted[i] != 0;
  return n;
}

void sample_card(struct tpo_buf *out, const struct tpo_sample_row *row, const char *title, int chosen,
                 int rejected)
{
  tpo_buf_printf(out, "<article class=\"sample%s%s\">\n<h4>", chosen ? " is-chosen" : "",
                 rejected && !chosen ? " is-rejected" : "");
  html_text(out, title);
  tpo_buf_puts(out, " <span class=\"score\">");
  if (row->scored && isfinite(row->score)) {
    tpo_buf_puts(out, "score ");
    html_number(out, row->score, 3);
  } else
    tpo_buf_puts(out, "no score");
  tpo_buf_puts(out, "</span>");
  if (chosen) put_badge(out, "good", "chosen", chosen);
  if (rejected) put_badge(out, "bad", "rejected", rejected);
  if (!row->format_ok) put_badge(out, "warn", "format failed", 0);
  tpo_buf_puts(out, "</h4>\n");
  if (*row->thought) put_folded(out, "Thought", row->n_thought_tokens, row->thought);
  if (row->format_ok && *row->response)
    put_text(out, "text response", row->response);
  else if (row->format_ok)
    tpo_buf_puts(out, "<p class=\"none\">The response is empty.</p>\n");
  else
    put_folded(out, "Whole output", row->n_tokens, row->text);
  put_detail(out, row->score_detail);
  int forced = forced_tokens(row);
  tpo_buf_printf(out, "<p class=\"detail\">%d tokens, ended by %s", row->n_tokens, finish_words(row->finish));
  if (forced) tpo_buf_printf(out, "; response marker inserted (%d tokens)", forced);
  tpo_buf_puts(out, "</p>\n</article>\n");
}

/* What the instruction asks to be checked: type and arguments. */
static void put_checks_asked(struct tpo_buf *out, const json_t *checks)
{
  size_t n = json_array_size(checks);
  if (n == 0) return;
  tpo_buf_puts(out, "<ul class=\"asked\">\n");
  for (size_t i = 0; i < n && i < MOST_CHECKS; i++) {
    const char *key;
    json_t *value, *check = json_array_get(checks, i);
    tpo_buf_puts(out, "<li>");
    const json_t *type = json_object_get(check, "type");
    put_value(out, type ? type : check);
    json_object_foreach(check, key, value)
    {
      if (strcmp(key, "type") == 0) continue;
      tpo_buf_puts(out, " · ");
      html_capped(out, key, 200);
      tpo_buf_puts(out, " ");
      put_value(out, value);
    }
    tpo_buf_puts(out, "</li>\n");
  }
  tpo_buf_puts(out, "</ul>\n");
}

void prompt_body(struct tpo_buf *out, const struct tpo_sample_row *row)
{
  put_text(out, "text instruction", row->instruction);
  json_t *meta = tpo_json_parse(row->meta, strlen(row->meta), "meta", NULL);
  put_checks_asked(out, json_object_get(meta, "checks"));
  const json_t *reference = json_object_get(meta, "reference");
  if (reference && !json_is_null(reference)) {
    tpo_buf_puts(out, "<p class=\"detail\">reference: ");
    put_value(out, reference);
    tpo_buf_puts(out, "</p>\n");
  }
  json_decref(meta);
}
