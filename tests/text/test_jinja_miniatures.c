/* Small templates of our own, one for each thing that published ones do: the texts that jinja2 makes of them
 * (make_miniatures.py), and whose every byte is. */
#include "text_test.h"
#include "text/jinja_test.h"

static json_t *fixture;

static int load_fixture(void **state)
{
  (void)state;
  struct tpo_buf bytes = {0};
  if (tpo_read_file(FIXTURES "/jinja_miniatures.json", 1 << 22, &bytes, &test_error) < 0) return -1;
  fixture = tpo_json_parse(bytes.data, bytes.len, "jinja_miniatures.json", &test_error);
  tpo_buf_free(&bytes);
  return fixture ? 0 : -1;
}

static int free_fixture(void **state)
{
  (void)state;
  json_decref(fixture);
  return 0;
}

static bool check_text(const struct tpo_rendered *out, const json_t *expected)
{
  size_t len = json_string_length(expected);
  if (out->text.len == len &&
      memcmp(out->text.data ? out->text.data : "", json_string_value(expected), len) == 0)
    return true;
  fprintf(stderr, "expected: %s\ngot:      %.*s\n", json_string_value(expected), (int)out->text.len,
          out->text.data ? out->text.data : "");
  return false;
}

static bool check_error(const json_t *expected, int code)
{
  const char *message = json_string_value(expected);
  if (code < 0 && strstr(test_error.message, message)) return true;
  fprintf(stderr, "expected the error: %s\ngot: %s\n", message, code < 0 ? test_error.message : "no error");
  return false;
}

/* visit for each case; its answers are counted, so that all of what differs is seen at once. Returns how many cases
 * there are. */
static size_t each_case(bool (*visit)(const struct tpo_jinja *, const json_t *variables, const json_t *one))
{
  const json_t *variables = json_object_get(fixture, "inputs");
  size_t i, k, n = 0;
  json_t *template, *one;
  int bad = 0;
  json_array_foreach(json_object_get(fixture, "templates"), i, template)
  {
    const json_t *source = json_object_get(template, "template");
    struct tpo_jinja *jinja;
    if (tpo_jinja_open(&jinja, json_string_value(source), json_string_length(source), "miniature",
                       &test_error) < 0)
      fail_msg("%s: %s", json_string_value(json_object_get(template, "name")), test_error.message);
    json_array_foreach(json_object_get(template, "cases"), k, one)
    {
      n++;
      const char *inputs = json_string_value(json_object_get(one, "inputs"));
      if (visit(jinja, json_object_get(variables, inputs), one)) continue;
      fprintf(stderr, "^ %s; %s\n", json_string_value(json_object_get(template, "name")), inputs);
      bad++;
    }
    tpo_jinja_close(jinja);
  }
  assert_int_equal(bad, 0);
  return n;
}

static bool same_as_jinja2(const struct tpo_jinja *jinja, const json_t *variables, const json_t *one)
{
  struct tpo_rendered out = {0};
  int code = jinja_render(jinja, variables, NULL, &out, &test_error);
  const json_t *error = json_object_get(one, "error");
  if (!error && code < 0) fprintf(stderr, "%s\n", test_error.message);
  bool same = error ? check_error(error, code) : code == 0 && check_text(&out, json_object_get(one, "text"));
  tpo_rendered_free(&out);
  return same;
}

static void miniatures_are_rendered_as_by_jinja2(void **state)
{
  (void)state;
  assert_true(each_case(same_as_jinja2) > 300);
}

/* U+E000 and the following, which only the contents of some chats have and no template. */
static bool is_private(const char *text)
{
  return (unsigned char)text[0] == 0xEE;
}

static size_t n_private; /* such characters that were seen in renderings */

/* Runs follow each other over the whole text; what only a message has is the template's in none of them. */
static bool runs_hold(const struct tpo_rendered *out)
{
  bool fine = true;
  size_t end = 0;
  for (size_t i = 0; i < out->n; i++) {
    struct tpo_run run = out->runs[i];
    bool computed = run.origin == 0, own = out->origins.items[run.origin].own;
    fine = fine && run.begin == end && run.end > run.begin;
    end = run.end;
    for (size_t at = run.begin; at < run.end; at++) {
      if (!is_private(out->text.data + at)) continue;
      n_private++;
      fine = fine && !own && !computed;
    }
  }
  return fine && end == out->text.len;
}

static bool origins_hold(const struct tpo_jinja *jinja, const json_t *variables, const json_t *one)
{
  struct tpo_rendered out = {0};
  int code = jinja_render(jinja, variables, NULL, &out, &test_error);
  bool fine = code < 0 ? json_object_get(one, "error") != NULL : runs_hold(&out);
  tpo_rendered_free(&out);
  return fine;
}

static void contents_are_never_the_templates_own(void **state)
{
  (void)state;
  assert_true(each_case(origins_hold) > 300);
  assert_true(n_private > 300);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(miniatures_are_rendered_as_by_jinja2),
      cmocka_unit_test(contents_are_never_the_templates_own),
  };
  return cmocka_run_group_tests(tests, load_fixture, free_fixture);
}
