/* What the judge `http` reads and how long it waits; the connections themselves are tested end to end. */
#include <time.h>
#include "base/json.h"
#include "ask/http/protocol.h"
#include "unit.h"

static void address_is_completed_and_shown_without_its_query(void **state)
{
  (void)state;
  static const struct {
    const char *given, *address, *shown;
    bool encrypted, local;
  } cases[] = {
      {"http://host:8000/v1", "http://host:8000/v1/chat/completions", NULL, false, false},
      {"https://host/v1/", "https://host/v1/chat/completions", NULL, true, false},
      {"http://host", "http://host/chat/completions", NULL, false, false},
      {"http://localhost/v1/chat/completions", "http://localhost/v1/chat/completions", NULL, false, true},
      {"https://127.0.0.1/a/chat/completions?v=1", "https://127.0.0.1/a/chat/completions?v=1",
       "https://127.0.0.1/a/chat/completions", true, true},
      {"http://[::1]:80/v1?x=y", "http://[::1]:80/v1/chat/completions?x=y",
       "http://[::1]:80/v1/chat/completions", false, true},
      {"http://127.8.9.10:80/v1", "http://127.8.9.10:80/v1/chat/completions", NULL, false, true},
      {"http://127.example.org/v1", "http://127.example.org/v1/chat/completions", NULL, false, false},
      {"http://128.0.0.1/v1", "http://128.0.0.1/v1/chat/completions", NULL, false, false},
      {"http://localhost.:8000/v1", "http://localhost:8000/v1/chat/completions", NULL, false, true},
      {"http://LocalHost/v1", "http://LocalHost/v1/chat/completions", NULL, false, true},
      {"http://0.0.0.0:8000/v1", "http://0.0.0.0:8000/v1/chat/completions", NULL, false, true},
      {"http://0.0.0.1/v1", "http://0.0.0.1/v1/chat/completions", NULL, false, false},
      {"http://[::]:80/v1", "http://[::]:80/v1/chat/completions", NULL, false, true},
      {"http://[::ffff:127.0.0.1]/v1", "http://[::ffff:127.0.0.1]/v1/chat/completions", NULL, false, true},
      {"http://[::ffff:10.0.0.1]/v1", "http://[::ffff:10.0.0.1]/v1/chat/completions", NULL, false, false},
      {"http://[2001:db8::1]/v1", "http://[2001:db8::1]/v1/chat/completions", NULL, false, false},
      {"http://localhost.example.org/v1", "http://localhost.example.org/v1/chat/completions", NULL, false,
       false},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct http_url url;
    struct tpo_error err = {0};
    assert_int_equal(http_url_parse(&url, cases[i].given, &err), 0);
    assert_string_equal(url.address, cases[i].address);
    assert_string_equal(url.shown, cases[i].shown ? cases[i].shown : cases[i].address);
    assert_int_equal(url.encrypted, cases[i].encrypted);
    assert_int_equal(url.local, cases[i].local);
    http_url_free(&url);
  }
}

static void bad_address_is_a_usage_error_that_shows_no_password(void **state)
{
  (void)state;
  static const char *const bad[] = {"",
                                    "host",
                                    "host:80/v1",
                                    "http://",
                                    "http:///v1",
                                    "ftp://host/v1",
                                    "file:///etc/passwd",
                                    "http://host:99999",
                                    "http://a b/",
                                    "http://host/v1#x",
                                    "http://host/\n",
                                    "http://me:hidden@host/v1",
                                    "http://hidden@host/v1",
                                    "http://me:hidden@host:99999/v1",
                                    "ftp://me:hidden@host/v1"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    struct http_url url;
    struct tpo_error err = {0};
    assert_int_equal(http_url_parse(&url, bad[i], &err), TPO_E_USAGE);
    assert_contains(err.message, "judge.kind");
    assert_null(strstr(err.message, "hidden"));
    http_url_free(&url);
  }
}

static void error_text(const char *body, size_t len, const char *key, char out[HTTP_TEXT])
{
  struct http_told told;
  http_read_error(body, len, key, &told);
  memcpy(out, told.text, HTTP_TEXT);
}

#define LIMIT "judge.max_tokens"

static enum http_reading read_reply(const char *body, size_t len, const char *key, struct http_reply *reply,
                                    char why[HTTP_TEXT])
{
  const struct http_expected expected = {.key = key, .limit = LIMIT};
  return http_read_reply(body, len, &expected, reply, why);
}

static struct http_reply read_ok(const char *body, const char *key)
{
  struct http_reply reply;
  char why[HTTP_TEXT];
  assert_int_equal(read_reply(body, strlen(body), key, &reply, why), HTTP_READ);
  return reply;
}

static void reply_gives_text_and_tokens(void **state)
{
  (void)state;
  struct http_reply reply =
      read_ok("{\"choices\":[{\"message\":{\"content\":\"a\\u0000b\"},\"finish_reason\":\"length\"}],"
              "\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":-7}}",
              NULL);
  assert_string_equal(reply.text, "a\xEF\xBF\xBD"
                                  "b");
  assert_true(reply.truncated);
  assert_int_equal(reply.prompt_tokens, 5);
  assert_int_equal(reply.completion_tokens, 0);
  free(reply.text);
}

static void reasoning_is_never_the_answer_and_who_ended_it_is_told(void **state)
{
  (void)state;
  static const struct {
    const char *finish;
    bool truncated;
  } ends[] = {{"\"stop\"", false},      {"\"length\"", true},
              {"\"max_tokens\"", true}, {"\"model_length\"", true},
              {"\"LENGTH\"", true},     {"\"MAX_TOKENS\"", true},
              {"\"STOP\"", false},      {"\"end_turn\"", false},
              {"\"eos_token\"", false}, {"\"\"", false},
              {"null", false}};
  for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
    char body[512];
    snprintf(body, sizeof body,
             "{\"choices\":[{\"message\":{\"reasoning\":\"[[1]]\",\"content\":\"[[8]]\","
             "\"reasoning_content\":\"[[2]]\"},\"finish_reason\":%s}]}",
             ends[i].finish);
    struct http_reply reply = read_ok(body, NULL);
    assert_string_equal(reply.text, "[[8]]");
    assert_int_equal(reply.truncated, ends[i].truncated);
    free(reply.text);
  }
}

static void reply_without_text_tells_why(void **state)
{
  (void)state;
  static const struct {
    const char *body;
    enum http_reading reading;
    const char *why;
  } cases[] = {
      {"", HTTP_MALFORMED, "not valid JSON"},
      {"{\"choices\":[{\"message\":{\"content\":\"cut", HTTP_MALFORMED, "not valid JSON"},
      {"<html>", HTTP_MALFORMED, "not valid JSON"},
      {"{} {}", HTTP_MALFORMED, "not valid JSON"},
      {"\"text\"", HTTP_NO_TEXT, "choices[0].message.content"},
      {"null", HTTP_NO_TEXT, "choices[0].message.content"},
      {"{\"choices\":{}}", HTTP_NO_TEXT, "choices[0].message.content"},
      {"{\"choices\":[[]]}", HTTP_NO_TEXT, "choices[0].message.content"},
      {"{\"choices\":[{\"message\":\"x\"}]}", HTTP_NO_TEXT, "choices[0].message.content"},
      {"{\"choices\":[{\"message\":{\"content\":[\"x\"]},\"finish_reason\":\"stop\"}]}", HTTP_NO_TEXT,
       "finish_reason stop"},
      {"{\"error\":\"no luck\"}", HTTP_ERROR, "an error in place of an answer: no luck"},
      {"{\"error\":{\"message\":\"no luck\"}}", HTTP_ERROR, "an error in place of an answer: no luck"},
      {"{\"error\":{\"odd\":1}}", HTTP_ERROR, "{\"odd\":1}"},
      {"{\"choices\":[{\"error\":{\"message\":\"fell over\"}}]}", HTTP_ERROR, "fell over"},
      {"{\"choices\":[{\"message\":{\"content\":\"begun\"},\"finish_reason\":\"error\",\"error\":{\"message\":\"fell "
       "over\"}}]}",
       HTTP_ERROR, "fell over"},
      {"{\"error\":null}", HTTP_NO_TEXT, "choices[0].message.content"},
      {"{\"choices\":[{\"message\":{\"content\":null,\"reasoning_content\":\"[[8]]\"},\"finish_reason\":\"length\"}]}",
       HTTP_NO_TEXT, "judge.max_tokens was used up"},
      {"{\"choices\":[{\"message\":{\"content\":\" \\n\",\"reasoning\":\"[[8]]\"},\"finish_reason\":\"stop\"}]}",
       HTTP_NO_TEXT, "there is reasoning and no answer; judge.max_tokens"},
      {"{\"choices\":[{\"message\":{\"content\":\"\"},\"finish_reason\":\"length\"}]}", HTTP_NO_TEXT,
       "judge.max_tokens"},
      {"{\"choices\":[{\"message\":{\"content\":\"\"},\"finish_reason\":\"stop\"}],"
       "\"usage\":{\"completion_tokens_details\":{\"reasoning_tokens\":9}}}",
       HTTP_NO_TEXT, "judge.max_tokens"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct http_reply reply;
    char why[HTTP_TEXT];
    assert_int_equal(read_reply(cases[i].body, strlen(cases[i].body), NULL, &reply, why), cases[i].reading);
    assert_contains(why, cases[i].why);
    assert_null(reply.text);
  }
}

static void an_answer_beside_an_empty_error_is_an_answer(void **state)
{
  (void)state;
  struct http_reply reply =
      read_ok("{\"choices\":[{\"message\":{\"content\":\"[[1]]\"}}],\"error\":null}", NULL);
  assert_string_equal(reply.text, "[[1]]");
  free(reply.text);
  reply = read_ok("{\"choices\":[{\"message\":{\"content\":\"[[2]]\"}}],\"error\":{\"message\":\"\"}}", NULL);
  assert_string_equal(reply.text, "[[2]]");
  free(reply.text);
}

static void an_errors_status_is_its_code_or_what_its_name_stands_for(void **state)
{
  (void)state;
  static const struct {
    const char *error;
    int status;
  } cases[] = {
      {"{\"code\":502}", 502},
      {"{\"code\":\"429\"}", 429},
      {"{\"status\":404,\"code\":null}", 404},
      {"{\"type\":\"invalid_request_error\"}", 400},
      {"{\"type\":\"invalid_request_error\",\"code\":\"model_not_found\"}", 404},
      {"{\"type\":\"insufficient_quota\",\"code\":\"insufficient_quota\"}", 402},
      {"{\"type\":\"server_error\"}", 0},
      {"{\"code\":200}", 0},
      {"{\"code\":\"99999999999999999999\"}", 0},
      {"{\"code\":\"\",\"type\":7}", 0},
      {"\"no luck\"", 0},
      {"[400]", 0},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    json_t *error = json_loads(cases[i].error, JSON_DECODE_ANY, NULL);
    assert_non_null(error);
    struct http_told told;
    http_take_error(error, NULL, &told);
    if (told.status != cases[i].status) fail_msg("%s: %d", cases[i].error, told.status);
    json_decref(error);
  }
}

static void key_is_taken_out_of_all_texts(void **state)
{
  (void)state;
  const char *key = "sk-0123456789";
  char told[HTTP_TEXT], body[600];
  struct http_reply reply =
      read_ok("{\"choices\":[{\"message\":{\"content\":\"\\u0073k-0123456789sk-0123456789.\"}}]}", key);
  assert_string_equal(reply.text, "[key][key].");
  free(reply.text);
  error_text("{\"error\":{\"message\":\"wrong: sk-0123456789\"}}", 44, key, told);
  assert_string_equal(told, "wrong: [key]");
  /* Where the text is cut, no piece of the key is left. */
  for (int n = HTTP_TEXT - 40; n < HTTP_TEXT + 10; n++) {
    memset(body, 'x', (size_t)n);
    strcpy(body + n, key);
    error_text(body, strlen(body), key, told);
    assert_null(strstr(told, "sk"));
  }
}

static void key_is_found_under_the_escapes_of_json(void **state)
{
  (void)state;
  const char *key = "sk/ab+\"c\\9u=";
  static const char *const bodies[] = {
      "{\"errors\":[\"bad sk\\/ab+\\\"c\\\\9u=.\"]}", /* no message that we know */
      "{\"errors\":[\"bad \\u0073k\\u002Fab\\u002b\\u0022c\\u005C9\\u0075=.\"]}", /* as code points */
      "{\"sk\\/ab+\\\"c\\\\9u=\":\"bad .\"}",                                     /* as a member's name */
      "{\"errors\":[\"bad sk\\/ab+\\\"c\\\\9u=.",                                 /* cut off */
      "{\"a\":1,\"a\":\"bad sk\\u002fab+\\\"c\\\\9u=.\"}", /* not valid: a name twice */
      /* JSON in JSON */
      "{\"error\":\"upstream: {\\\"e\\\":\\\"bad sk\\\\\\/ab+\\\\\\\"c\\\\\\\\9u=.\\\"}\"}",
      "{\"errors\":[\"upstream: {\\\"e\\\":\\\"bad \\\\u0073k\\\\u002fab+\\\\\\\"c\\\\\\\\9u=.\\\"}\"]}",
      "<p>bad sk/ab+\"c\\9u=.</p>"};
  for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
    char told[HTTP_TEXT];
    error_text(bodies[i], strlen(bodies[i]), key, told);
    assert_contains(told, "bad ");
    assert_contains(told, "[key]");
    assert_null(strstr(told, "ab"));
    assert_null(strstr(told, "9"));
  }
  /* Parts of a key, also at the text's end, are not taken for it. */
  static const char *const others[] = {"sk/ab",   "sk\\/ab+\\", "\\",
                                       "\\u0073", "sk\\u002",   "\\\\\\\\\\\\\\\\\\\\\\\\sk"};
  for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
    char told[HTTP_TEXT];
    error_text(others[i], strlen(others[i]), key, told);
    assert_string_equal(told, others[i]);
  }
}

static void key_is_found_under_other_escapes(void **state)
{
  (void)state;
  const char *key = "sk/ab+<c&9%u=";
  static const char *const texts[] = {
      "bad sk%2Fab%2B%3Cc%269%25u%3D.",             /* an address */
      "bad %73%6b%2fab+%3cc%26%39%25u=.",           /* others escaped than need be */
      "bad sk%252Fab%252B%253Cc%25269%2525u%253D.", /* twice */
      "bad sk/ab+&lt;c&amp;9%u=.",                  /* HTML */
      "bad sk&#47;ab&#x2b;&#60;c&#038;9&#X25;u&equals;.",
      "bad sk/ab+&amp;lt;c&amp;amp;9%u=.", /* twice */
      "bad sk&sol;ab&plus;&lt;c%269%u=."   /* of both */
  };
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
    char told[HTTP_TEXT];
    error_text(texts[i], strlen(texts[i]), key, told);
    assert_string_equal(told, "bad [key].");
  }
  static const char *const others[] = {"sk%2Fab", "sk%2",  "sk%", "%",       "%25%25",
                                       "&",       "&amp;", "&#;", "sk&#x2f", "&#115"};
  for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
    char told[HTTP_TEXT];
    error_text(others[i], strlen(others[i]), key, told);
    assert_string_equal(told, others[i]);
  }
}

static void key_is_found_in_base64(void **state)
{
  (void)state;
  static const struct {
    const char *text, *told;
  } cases[] = {
      /* "sk-0123>?>?>?xyz" alone, behind one byte, behind two, and of "Bearer " and the key */
      {"<c2stMDEyMz4/Pj8+P3h5eg==>", "<[key]==>"},
      {"<OnNrLTAxMjM+Pz4/Pj94eXo=>", "<On[key]=>"},
      {"<dTpzay0wMTIzPj8+Pz4/eHl6>", "<dTp[key]>"},
      {"<QmVhcmVyIHNrLTAxMjM+Pz4/Pj94eXo=>", "<QmVhcmVyIH[key]=>"},
      {"<QmVhcmVyIHNrLTAxMjM-Pz4_Pj94eXo>", "<QmVhcmVyIH[key]>"},           /* as addresses have it */
      {"<QmVhcmVyIHNrLTAxMjM%2BPz4%2fPj94eXo%3D>", "<QmVhcmVyIH[key]%3D>"}, /* escaped */
      {"<c2stMDEyMz4\\/Pj8+P3h5eg==>", "<[key]==>"},
      {"<c2stMDEyMz4/Pj8>", "<c2stMDEyMz4/Pj8>"}, /* a part */
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char told[HTTP_TEXT];
    error_text(cases[i].text, strlen(cases[i].text), "sk-0123>?>?>?xyz", told);
    assert_string_equal(told, cases[i].told);
  }
}

static void key_too_short_to_be_a_secret_stays_in_answers_alone(void **state)
{
  (void)state;
  char told[HTTP_TEXT];
  struct http_reply reply = read_ok("{\"choices\":[{\"message\":{\"content\":\"[[7]]\"}}]}", "7");
  assert_string_equal(reply.text, "[[7]]");
  free(reply.text);
  error_text("key none", 8, "none", told);
  assert_string_equal(told, "key [key]");
}

static void a_replys_length_is_bounded_by_its_tokens(void **state)
{
  (void)state;
  assert_int_equal(http_longest_body(1, 0), (64 << 10) + 64);
  assert_int_equal(http_longest_body(1024, 0), 128 << 10);
  assert_int_equal(http_longest_body(10000000, 0), 4 << 20);
  assert_int_equal(http_longest_body(1, 5), (64 << 10) + 64 + 6 * 256);
  assert_int_equal(http_longest_body(10000000, 5), 24 << 20);
}

static void a_reply_of_countless_values_is_not_taken_apart(void **state)
{
  (void)state;
  struct tpo_buf body = {0};
  struct http_reply reply;
  char why[HTTP_TEXT];
  struct http_told told;
  tpo_buf_puts(&body, "{\"choices\":[{\"message\":{\"content\":\"[[1]]\"}}],\"more\":[0");
  size_t begin = body.len;
  for (int i = 0; i < 90000; i++) tpo_buf_puts(&body, ",1");
  tpo_buf_puts(&body, "],\"text\":\"");
  for (int i = 0; i < 90000; i++) tpo_buf_puts(&body, "[{,\\\"\\\\"); /* in a string they are none */
  tpo_buf_puts(&body, "\"}");
  assert_int_equal(read_reply(body.data, body.len, NULL, &reply, why), HTTP_READ);
  free(reply.text);
  body.len = begin;
  for (int i = 0; i < 100000; i++) tpo_buf_puts(&body, ",{");
  assert_int_equal(read_reply(body.data, body.len, NULL, &reply, why), HTTP_NO_TEXT);
  assert_contains(why, "more than 100000 values");
  http_read_error(body.data, body.len, NULL, &told);
  assert_contains(told.text, "{\"choices\"");
  tpo_buf_free(&body);
}

static void error_text_is_one_tame_short_line(void **state)
{
  (void)state;
  char told[HTTP_TEXT], body[5000];
  static const struct {
    const char *body, *told;
  } cases[] = {{"", ""},
               {"  \n ", ""},
               {"plain\n\n  text\t.\r\n", "plain text ."},
               {"{\"error\":\"e\"}", "e"},
               {"{\"error\":{\"message\":\"m\",\"code\":7}}", "m"},
               {"{\"message\":\"m\"}", "m"},
               {"{\"detail\":\"d\"}", "d"},
               {"{\"detail\":[1]}", "{\"detail\":[1]}"},
               {"\x1B[31mred\xFF", "\\x1b[31mred\\xff"}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    error_text(cases[i].body, strlen(cases[i].body), NULL, told);
    assert_string_equal(told, cases[i].told);
  }
  for (size_t n = 0; n < sizeof body; n += 2) memcpy(body + n, "\xC3\xBC", 2);
  for (size_t n = HTTP_TEXT - 20; n < HTTP_TEXT + 20; n++) {
    error_text(body, n, NULL, told);
    assert_true(strlen(told) < HTTP_TEXT);
  }
  error_text(body, sizeof body, NULL, told);
  assert_contains(told, "\xC3\xBC...");
}

static void pauses_double_up_to_half_a_minute_with_jitter(void **state)
{
  (void)state;
  double longest = 0;
  bool differ = false;
  for (int failures = 1; failures <= 40; failures++) {
    double most = failures < 7 ? 0.5 * (1 << (failures - 1)) : 30;
    for (uint64_t question = 0; question < 50; question++) {
      double pause = http_pause(failures, 3, question);
      assert_true(pause >= most / 2 && pause <= most);
      assert_true(pause == http_pause(failures, 3, question));
      differ |= pause != http_pause(failures, 3, question + 1);
      longest = pause > longest ? pause : longest;
    }
  }
  assert_true(differ && longest > 28 && longest <= 30);
}

static void retry_after_is_seconds_or_a_date(void **state)
{
  (void)state;
  double seconds;
  const time_t now = 784111777; /* Sun, 06 Nov 1994 08:49:37 GMT */
  static const struct {
    const char *value;
    double seconds;
  } good[] = {{"0", 0},
              {"120", 120},
              {"2.5", 2.5},
              {"2.", 2},
              {"0.0625", 0.0625},
              {"999999999999999999999", 1e9},
              {"Sun, 06 Nov 1994 08:49:47 GMT", 10},
              {"Sunday, 06-Nov-94 08:50:37 GMT", 60},
              {"Sun Nov  6 08:49:40 1994", 3},
              {"Sat, 05 Nov 1994 08:49:37 GMT", 0}};
  for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
    assert_true(http_retry_after(good[i].value, now, &seconds));
    assert_true(seconds == good[i].seconds);
  }
  static const char *const bad[] = {"", "soon", "-5", "12 s", "1e3", "0x10", "1.5.2"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) assert_false(http_retry_after(bad[i], now, &seconds));
  assert_true(http_retry_after_ms("1500", &seconds) && seconds == 1.5);
  assert_true(http_retry_after_ms("62.5", &seconds) && seconds == 0.0625);
  assert_false(http_retry_after_ms("", &seconds) || http_retry_after_ms("soon", &seconds) ||
               http_retry_after_ms("-1", &seconds));
}

static void key_names_and_keys_are_checked_unseen(void **state)
{
  (void)state;
  struct tpo_error err = {0};
  assert_int_equal(http_check_key_name("OPENAI_API_KEY2", &err), 0);
  assert_int_equal(http_check_key("X", "sk-~!", &err), 0);
  static const char *const names[] = {NULL, "", "1X", "sk-abc", "A B", "A=B", "\xC3\xBC"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    assert_int_equal(http_check_key_name(names[i], &err), TPO_E_USAGE);
    assert_null(strstr(err.message, "sk-abc"));
  }
  static const char *const keys[] = {"qqq zzz", "qqq\r\nEvil: 1", "qqq\xC3\xBC", "qqq\x7F"};
  for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
    assert_int_equal(http_check_key("THE_NAME", keys[i], &err), TPO_E_USAGE);
    assert_contains(err.message, "THE_NAME");
    assert_null(strstr(err.message, "qqq"));
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(address_is_completed_and_shown_without_its_query),
      cmocka_unit_test(bad_address_is_a_usage_error_that_shows_no_password),
      cmocka_unit_test(reply_gives_text_and_tokens),
      cmocka_unit_test(reasoning_is_never_the_answer_and_who_ended_it_is_told),
      cmocka_unit_test(reply_without_text_tells_why),
      cmocka_unit_test(an_answer_beside_an_empty_error_is_an_answer),
      cmocka_unit_test(an_errors_status_is_its_code_or_what_its_name_stands_for),
      cmocka_unit_test(key_is_taken_out_of_all_texts),
      cmocka_unit_test(key_is_found_under_the_escapes_of_json),
      cmocka_unit_test(key_is_found_under_other_escapes),
      cmocka_unit_test(key_is_found_in_base64),
      cmocka_unit_test(key_too_short_to_be_a_secret_stays_in_answers_alone),
      cmocka_unit_test(a_replys_length_is_bounded_by_its_tokens),
      cmocka_unit_test(a_reply_of_countless_values_is_not_taken_apart),
      cmocka_unit_test(error_text_is_one_tame_short_line),
      cmocka_unit_test(pauses_double_up_to_half_a_minute_with_jitter),
      cmocka_unit_test(retry_after_is_seconds_or_a_date),
      cmocka_unit_test(key_names_and_keys_are_checked_unseen),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
