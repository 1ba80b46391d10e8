/* A chat template and its variables (parts: template, a JSON object, in which "messages" are a chat's). What is
 * rendered is rendered alike again, in runs that follow each other; what only a message has is the template's own in
 * none of them. */
#include "base/json.h"
#include "fuzz/fuzz.h"
#include "text/jinja_test.h"

/* So that an input takes a second at most. */
static const struct jinja_limits limits = {
    .steps = 300 * 1000, .depth = 200, .memory = 64 << 20, .output = 1 << 20};

static bool render(const struct tpo_jinja *jinja, const json_t *variables, struct tpo_rendered *out)
{
  struct tpo_error err = {0};
  return !fuzz_refused(jinja_render(jinja, variables, &limits, out, &err), &err);
}

/* U+E000 to U+E03F in UTF-8: where the template and what is its own have none, they came of a variable. */
static bool is_mark(const char *text, size_t left)
{
  return left >= 3 && (unsigned char)text[0] == 0xee && (unsigned char)text[1] == 0x80;
}

static bool has_marks(const char *text, size_t len)
{
  for (size_t i = 0; i < len; i++)
    if (is_mark(text + i, len - i)) return true;
  return false;
}

static void check_runs(const struct tpo_rendered *out, bool marked)
{
  size_t end = 0;
  for (size_t i = 0; i < out->n; i++) {
    const struct tpo_run *run = &out->runs[i];
    CLAIM(run->begin == end && run->end > run->begin, "%zu to %zu after %zu", run->begin, run->end, end);
    CLAIM(run->origin < out->origins.n || run->origin == 0, "%u", (unsigned)run->origin);
    CLAIM(i == 0 || run->origin != run[-1].origin, "%u twice", (unsigned)run->origin);
    end = run->end;
    bool own = run->origin < out->origins.n && out->origins.items[run->origin].own;
    CLAIM(marked || !own || !has_marks(out->text.data + run->begin, run->end - run->begin), "%.*s",
          (int)(run->end - run->begin), out->text.data + run->begin);
  }
  CLAIM(end == out->text.len, "%zu of %zu", end, out->text.len);
  CLAIM(out->text.len == 0 || tpo_utf8_valid(out->text.data, out->text.len, NULL), "%s", out->text.data);
}

static void run(const struct tpo_jinja *jinja, const json_t *variables, bool marked)
{
  struct tpo_rendered first = {0}, again = {0};
  bool rendered = render(jinja, variables, &first);
  CLAIM(render(jinja, variables, &again) == rendered);
  if (rendered) {
    check_runs(&first, marked);
    CLAIM(first.n == again.n && first.text.len == again.text.len);
    CLAIM(first.text.len == 0 || memcmp(first.text.data, again.text.data, first.text.len) == 0);
  }
  tpo_rendered_free(&first);
  tpo_rendered_free(&again);
}

static bool contains(struct part text, const char *word)
{
  return memmem(text.data, text.len, word, strlen(word)) != NULL;
}

/* The template may write such a character itself, or make it by an escape, a format or an entity; the tokenizer's tokens
 * may hold one. */
static bool may_make_marks(struct part template, const json_t *variables)
{
  static const char *const ways[] = {"\\u", "\\U", "\\N", "format", "%c", "&#"};
  struct tpo_jinja_input inputs[JINJA_MAX_INPUTS];
  bool may = has_marks((const char *)template.data, template.len);
  for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) may = may || contains(template, ways[i]);
  for (size_t i = jinja_inputs(variables, inputs); i-- > 0;) {
    char *text = inputs[i].own ? json_dumps(inputs[i].value, JSON_ENCODE_ANY) : NULL;
    may = may || (text && has_marks(text, strlen(text)));
    free(text);
  }
  return may;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  struct part parts[2];
  struct tpo_jinja *jinja;
  struct tpo_error err = {0};
  fuzz_parts(data, size, parts, 2);
  if (fuzz_refused(tpo_jinja_open(&jinja, (const char *)parts[0].data, parts[0].len, "template", &err), &err))
    return 0;
  json_t *variables = tpo_json_parse((const char *)parts[1].data, parts[1].len, "variables", &err);
  json_t *none = json_object();
  CLAIM(none);
  const json_t *used = json_is_object(variables) ? variables : none;
  run(jinja, used, may_make_marks(parts[0], used));
  json_decref(variables);
  json_decref(none);
  tpo_jinja_close(jinja);
  return 0;
}
