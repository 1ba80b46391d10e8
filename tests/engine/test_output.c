/* What is told of a sample that has ended is what its tokens say: decoded and taken apart once more, from
 * nothing but the tokens, they give the same text and the same parts, whatever ended it. */
#include "engine/world.h"
#include "base/utf8.h"
#include "engine/state.h"

enum { N_FINISHES = TPO_FINISH_CONTEXT + 1, RUNS = 4 };

static struct {
  int finishes[N_FINISHES], kept, broken, mended, special, spoken, inserted, judged, blank_tail, opened;
} seen;

static void put_mended(struct tpo_buf *out, const char *raw, size_t len)
{
  for (size_t at = 0; at < len;) {
    uint32_t cp;
    int n = tpo_utf8_decode((const uint8_t *)raw + at, len - at, &cp);
    seen.mended += n == 0;
    if (n == 0 || cp == 0)
      tpo_buf_puts(out, "\xef\xbf\xbd");
    else
      tpo_buf_append(out, raw + at, (size_t)n);
    at += n == 0 ? 1 : (size_t)n;
  }
}

/* A control token that is a marker says its name. */
static bool is_marker(const char *name, size_t len)
{
  const char *marker = w.thought.response_marker;
  return marker && strlen(marker) == len && memcmp(marker, name, len) == 0;
}

/* Prefill and the bytes of the first n tokens, as they are. */
static void decode(const struct tpo_output *output, int n, struct tpo_buf *raw)
{
  if (w.thought.prefill) tpo_buf_puts(raw, w.thought.prefill);
  for (int i = 0; i < n; i++) {
    size_t len;
    bool special;
    const char *bytes = tpo_tokenizer_token(w.tok, output->tokens[i], &len, &special);
    assert_non_null(bytes);
    bool spoken = special && is_marker(bytes, len);
    if (!special || spoken) tpo_buf_append(raw, bytes, len);
    seen.spoken += spoken;
    seen.special += special;
    seen.inserted += output->inserted[i];
  }
}

static bool begins_with_a_stop(const char *text)
{
  bool stop = w.thought.response_marker && *w.thought.response_marker &&
              strncmp(text, w.thought.response_marker, strlen(w.thought.response_marker)) == 0;
  for (int i = 0; i < w.sampling.n_stop; i++)
    stop |= strncmp(text, w.sampling.stop[i], strlen(w.sampling.stop[i])) == 0;
  return stop;
}

static void assert_parts(const struct tpo_parsed *a, const struct tpo_parsed *b)
{
  assert_int_equal(a->format_ok, b->format_ok);
  assert_int_equal(a->response_ok, b->response_ok);
  assert_int_equal(a->thought_begin, b->thought_begin);
  assert_int_equal(a->thought_end, b->thought_end);
  assert_int_equal(a->response_begin, b->response_begin);
  assert_int_equal(a->response_end, b->response_end);
}

/* Of an output that parses, all tokens but those behind the response say its text to the response's end. */
static void assert_judged(const struct tpo_output *output)
{
  struct tpo_buf raw = {0}, text = {0};
  if (output->finish != TPO_FINISH_STOP_STRING) assert_int_equal(output->n_unjudged, 0);
  if (output->finish != TPO_FINISH_STOP_STRING || !output->parsed.format_ok) return;
  assert_true(output->n_unjudged > 0);
  decode(output, output->n - output->n_unjudged, &raw);
  put_mended(&text, raw.data, raw.len);
  assert_int_equal(text.len, output->parsed.response_end);
  size_t len;
  token_bytes(w.tok, NULL, output->tokens[output->n - output->n_unjudged], &len); /* the first without loss */
  seen.blank_tail += len == 1 && strchr(" \n\t\r", output->text[text.len]) && output->text[text.len];
  seen.judged++;
  tpo_buf_free(&raw);
  tpo_buf_free(&text);
}

static void look(const struct tpo_output *output)
{
  struct tpo_buf raw = {0}, text = {0};
  struct tpo_parsed parsed;
  size_t len = strlen(output->text);
  decode(output, output->n, &raw);
  put_mended(&text, raw.data ? raw.data : "", raw.len);
  const char *whole = text.data ? text.data : "";
  assert_true(len <= text.len);
  assert_memory_equal(output->text, whole, len);
  if (output->finish == TPO_FINISH_STOP_STRING)
    assert_true(begins_with_a_stop(whole + len));
  else
    assert_int_equal(len, text.len);
  tpo_thought_parse(&w.thought, output->text, len, &parsed);
  assert_parts(&parsed, &output->parsed);
  assert_judged(output);
  seen.finishes[output->finish]++;
  *(parsed.format_ok ? &seen.kept : &seen.broken) += 1;
  tpo_buf_free(&raw);
  tpo_buf_free(&text);
}

static void assert_range(const char *got, const char *text, size_t begin, size_t end)
{
  assert_int_equal(strlen(got), end - begin);
  assert_memory_equal(got, text + begin, end - begin);
}

/* The rows hold the parts of their texts. */
static void check_rows(const struct tpo_samples *samples)
{
  for (size_t i = 0; i < samples->n; i++) {
    const struct tpo_sample_row *row = &samples->rows[i];
    struct tpo_parsed p;
    tpo_thought_parse(&w.thought, row->text, strlen(row->text), &p);
    assert_int_equal(row->format_ok, p.format_ok);
    assert_range(row->thought, row->text, p.thought_begin, p.thought_end);
    assert_range(row->response, row->text, p.response_begin,
                 p.response_ok ? p.response_end : p.response_begin);
  }
}

/* Many draws, with each pass's results taken at once and a pass later. */
static void run_many(void)
{
  w.look = look;
  for (uint32_t i = 0; i < RUNS; i++) {
    w.run_ahead = i % 2 ? TPO_RUN_AHEAD_ALWAYS : TPO_RUN_AHEAD_NEVER;
    struct tpo_samples samples = run((struct tpo_engine_options){.iteration = i});
    check_rows(&samples);
    tpo_samples_free(&samples);
  }
}

/* Short markers, that random bytes come to hold. */
static void set_markers(const char *thought, const char *response, const char *prefill, bool force)
{
  set_thought(force, force ? 12 : 60, 30);
  w.thought.thought_marker = (char *)thought;
  w.thought.response_marker = (char *)response;
  w.thought.prefill = (char *)prefill;
}

static void outputs_are_what_their_tokens_say(void **state)
{
  (void)state;
  static const struct {
    const char *thought, *response, *prefill;
  } markers[] = {{"T:", "\nR:", "T:"},
                 {"T:", "Z", "T:\n"},
                 {"", "k", NULL},
                 {"a", "Q", NULL},
                 {"a", "b", "a"},
                 {"T:", " ", ""},
                 {"T\xc3\xa9", "e", "T\xc3\xa9"},
                 {"", "<|im_start|>", NULL}};
  char *stops[] = {(char *)"x", (char *)"7", (char *)"~"};
  for (size_t i = 0; i < 4 * sizeof markers / sizeof markers[0]; i++) {
    set_markers(markers[i / 4].thought, markers[i / 4].response, markers[i / 4].prefill, i % 2);
    w.sampling.stop = stops;
    w.sampling.n_stop = i % 4 < 2 ? 0 : 3;
    if (i % 3 == 0) { /* to the end of the context */
      w.sampling.max_tokens = 500;
      w.thought.response_tokens = 0;
    } else {
      w.sampling.max_tokens = 40;
    }
    run_many();
  }
  w.thought = (struct tpo_thought_config){0};
  run_many();
}

static void nothing_was_left_out(void **state)
{
  (void)state;
  for (int i = 0; i < N_FINISHES; i++) assert_true(seen.finishes[i] > 50);
  assert_true(seen.kept > 50 && seen.broken > 50);
  assert_true(seen.mended > 1000 && seen.special > 100 && seen.inserted > 100);
  assert_true(seen.judged > 50 && seen.blank_tail > 0 && seen.spoken > 100);
}

/* " banana" and " rain" of seven and five bytes, and a special token, which says nothing. */
static void a_token_that_straddles_the_end_stands_behind_it(void **state)
{
  (void)state;
  static const struct {
    int n, behind;
    size_t end;
  } cases[] = {{2, 0, 12}, {2, 0, 20}, {2, 1, 11}, {2, 1, 8}, {2, 1, 7}, {2, 2, 6},
               {2, 2, 0},  {3, 1, 12}, {3, 0, 13}, {3, 2, 9}, {0, 0, 0}};
  struct tpo_tokenizer *tok;
  struct tpo_ids ids = {0};
  struct tpo_error err = {0};
  assert_int_equal(tpo_tokenizer_open(&tok, TPO_SOURCE_DIR "/tests/text/fixtures/smollm", &err), 0);
  assert_int_equal(tpo_tokenizer_encode(tok, " banana rain<|im_start|>", 24, TPO_ENCODE_SPECIAL, &ids, &err),
                   0);
  assert_int_equal(ids.n, 3);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    assert_int_equal(tokens_behind(tok, NULL, ids.ids, cases[i].n, cases[i].n ? 12 : 0, cases[i].end),
                     cases[i].behind);
  tpo_ids_free(&ids);
  tpo_tokenizer_close(tok);
}

static void begins_opened(const struct tpo_output *output)
{
  assert_int_equal(strncmp(output->text, "<think>\n", 8), 0);
  seen.opened += output->parsed.thought_begin >= 8;
}

/* A closing marker alone makes a thought of it. */
static void a_thought_that_the_template_opens_begins_each_text(void **state)
{
  (void)state;
  struct tpo_template *usual = w.tmpl;
  const struct tpo_template_config pieces = {.system_prefix = (char *)"",
                                             .system_suffix = (char *)"",
                                             .user_prefix = (char *)"<|im_start|>",
                                             .user_suffix = (char *)"<|im_end|>",
                                             .assistant_prefix = (char *)"<|im_start|><think>\n",
                                             .assistant_suffix = (char *)"<|im_end|>"};
  struct tpo_error err = {0};
  assert_int_equal(tpo_template_open(&w.tmpl, w.tok, &pieces, &err), 0);
  set_markers("<think>", "k", NULL, true);
  w.look = begins_opened;
  seen.opened = 0;
  struct tpo_samples samples = run_plainly();
  assert_true(seen.opened > n_prompts);
  tpo_samples_free(&samples);
  tpo_template_close(w.tmpl);
  w.tmpl = usual;
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup(outputs_are_what_their_tokens_say, reset),
      cmocka_unit_test_setup(nothing_was_left_out, reset),
      cmocka_unit_test_setup(a_thought_that_the_template_opens_begins_each_text, reset),
      cmocka_unit_test(a_token_that_straddles_the_end_stands_behind_it),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}
