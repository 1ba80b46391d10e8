/* The body of a request: what the protocol has, with the fields that judge.request gives in their place or beside
 * them. */
#include <stdlib.h>
#include <string.h>
#include "base/json.h"
#include "config/request.h"
#include "ask/http/protocol.h"

const char *const http_own_fields[HTTP_N_OWN] = {[HTTP_TEMPERATURE] = "temperature",
                                                 [HTTP_MAX_TOKENS] = "max_tokens",
                                                 [HTTP_N] = "n",
                                                 [HTTP_SEED] = "seed",
                                                 [HTTP_LOGPROBS] = "logprobs",
                                                 [HTTP_TOP_LOGPROBS] = "top_logprobs"};

static int no_memory(struct tpo_error *err)
{
  return tpo_fail(err, TPO_E_MEMORY, "no memory for questions to the judge's server");
}

/* Those that are not left out, behind a comma each. */
static char *write_fields(const json_t *request)
{
  const char *name;
  json_t *value;
  struct tpo_buf out = {0};
  tpo_buf_puts(&out, "");
  json_object_foreach((json_t *)request, name, value)
  {
    if (json_is_null(value)) continue;
    char *text = tpo_json_dump(value);
    tpo_buf_putc(&out, ',');
    tpo_json_append_string(&out, name, strlen(name));
    tpo_buf_putc(&out, ':');
    if (text)
      tpo_buf_puts(&out, text);
    else
      out.failed = true;
    free(text);
  }
  return tpo_buf_take(&out);
}

int http_check_request(const char *request, struct tpo_error *err)
{
  const char *problem = config_request_problem(request);
  return problem ? tpo_fail(err, TPO_E_USAGE, "judge.request: %s", problem) : 0;
}

/* The most tokens that an answer may have by the fields and by judge.max_tokens, where that is sent; it is `own`
 * too where nothing else says. */
static int most_tokens(const json_t *request, int own)
{
  static const char *const names[] = {"max_tokens", "max_completion_tokens"};
  json_int_t most = json_object_get(request, names[0]) ? 0 : own;
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    json_int_t tokens = json_integer_value(json_object_get(request, names[i]));
    if (tokens > most) most = tokens;
  }
  return most == 0 ? own : most > INT32_MAX ? INT32_MAX : (int)most;
}

/* Whether the field is sent, with a number. */
static bool gives(const json_t *request, const char *field)
{
  return json_integer_value(json_object_get(request, field)) > 0;
}

/* What limits an answer's tokens. */
static const char *limit_of(const json_t *request)
{
  bool own = !json_object_get(request, http_own_fields[HTTP_MAX_TOKENS]);
  bool other = gives(request, "max_completion_tokens");
  if (own) return other ? "judge.max_tokens or judge.request's max_completion_tokens" : "judge.max_tokens";
  if (gives(request, http_own_fields[HTTP_MAX_TOKENS]))
    return other ? "judge.request's max_tokens or max_completion_tokens" : "judge.request's max_tokens";
  return other ? "judge.request's max_completion_tokens" : "the server's own limit on tokens";
}

static const char *size_key_of(const json_t *request)
{
  bool any = gives(request, http_own_fields[HTTP_MAX_TOKENS]) || gives(request, "max_completion_tokens");
  return any ? limit_of(request) : "judge.max_tokens";
}

int http_settings_open(struct http_settings *settings, const struct tpo_judge_config *config, uint64_t seed,
                       struct tpo_error *err)
{
  int status = http_check_request(config->request, err);
  if (status < 0) return status;
  const char *text = config->request ? config->request : "{}";
  json_t *request = tpo_json_parse(text, strlen(text), "judge.request", err);
  if (!request) return TPO_E_USAGE;
  *settings = (struct http_settings){.model = strdup(config->model),
                                     .temperature = config->temperature,
                                     .max_tokens = config->max_tokens,
                                     .seed = seed,
                                     .most_tokens = most_tokens(request, config->max_tokens),
                                     .limit = limit_of(request),
                                     .size_key = size_key_of(request),
                                     .request = request,
                                     .fields = write_fields(request)};
  for (int i = 0; i < HTTP_N_OWN; i++)
    settings->replaced[i] = json_object_get(request, http_own_fields[i]) != NULL;
  return settings->model && settings->fields ? 0 : no_memory(err);
}

void http_settings_close(struct http_settings *settings)
{
  json_decref(settings->request);
  free(settings->model);
  free(settings->fields);
}

static void put_message(struct tpo_buf *out, const char *role, const char *content)
{
  tpo_buf_printf(out, "{\"role\":\"%s\",\"content\":", role);
  tpo_json_append_string(out, content, strlen(content));
  tpo_buf_putc(out, '}');
}

int http_top_tokens(const struct http_settings *settings, int wanted)
{
  const json_t *top = json_object_get(settings->request, http_own_fields[HTTP_TOP_LOGPROBS]);
  const json_t *any = json_object_get(settings->request, http_own_fields[HTTP_LOGPROBS]);
  if (any && !json_is_true(any)) return 0;
  json_int_t n = top ? json_integer_value(top) : wanted;
  if (n > ASK_MOST_TOP) n = ASK_MOST_TOP;
  return n < wanted ? (int)(n > 0 ? n : 0) : wanted < ASK_MOST_TOP ? wanted : ASK_MOST_TOP;
}

void http_write_body(struct tpo_buf *out, const struct http_settings *settings,
                     const struct ask_question *question)
{
  const bool *replaced = settings->replaced;
  tpo_buf_puts(out, "{\"model\":");
  tpo_json_append_string(out, settings->model, strlen(settings->model));
  tpo_buf_puts(out, ",\"messages\":[");
  if (question->system) {
    put_message(out, "system", question->system);
    tpo_buf_putc(out, ',');
  }
  put_message(out, "user", question->user);
  if (question->answered) {
    tpo_buf_putc(out, ',');
    put_message(out, "assistant", question->answered);
    tpo_buf_putc(out, ',');
    put_message(out, "user", question->follow_up);
  }
  tpo_buf_putc(out, ']');
  if (!replaced[HTTP_TEMPERATURE]) {
    tpo_buf_puts(out, ",\"temperature\":");
    tpo_json_append_double(out, settings->temperature);
  }
  if (!replaced[HTTP_MAX_TOKENS]) tpo_buf_printf(out, ",\"max_tokens\":%d", settings->max_tokens);
  if (!replaced[HTTP_N]) tpo_buf_puts(out, ",\"n\":1");
  if (!replaced[HTTP_SEED]) tpo_buf_printf(out, ",\"seed\":%lld", (long long)(settings->seed & 0x7fffffff));
  int top = http_top_tokens(settings, question->top_tokens);
  if (top > 0 && !replaced[HTTP_LOGPROBS]) tpo_buf_puts(out, ",\"logprobs\":true");
  if (top > 0 && !replaced[HTTP_TOP_LOGPROBS]) tpo_buf_printf(out, ",\"top_logprobs\":%d", top);
  if (settings->fields) tpo_buf_puts(out, settings->fields);
  tpo_buf_putc(out, '}');
}
