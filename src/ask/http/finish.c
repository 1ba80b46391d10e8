/* What a server's word for how an answer ended means. */
#include <string.h>
#include <strings.h>
#include "ask/http/protocol.h"

/* As vLLM, SGLang, llama.cpp, text-generation-inference and hosted servers say it; letter case doesn't count. */
static const struct {
  const char *name;
  enum http_finish finish;
} known[] = {
    {"", HTTP_FINISH_WHOLE},
    {"stop", HTTP_FINISH_WHOLE},
    {"stop_sequence", HTTP_FINISH_WHOLE},
    {"stop_token", HTTP_FINISH_WHOLE},
    {"end_turn", HTTP_FINISH_WHOLE},
    {"eos", HTTP_FINISH_WHOLE},
    {"eos_token", HTTP_FINISH_WHOLE},
    {"complete", HTTP_FINISH_WHOLE},
    {"completed", HTTP_FINISH_WHOLE},
    {"length", HTTP_FINISH_LIMIT},
    {"max_tokens", HTTP_FINISH_LIMIT},
    {"max_output_tokens", HTTP_FINISH_LIMIT},
    {"max_completion_tokens", HTTP_FINISH_LIMIT},
    {"token_limit", HTTP_FINISH_LIMIT},
    {"model_length", HTTP_FINISH_LIMIT},
    {"model_context_window_exceeded", HTTP_FINISH_LIMIT},
    {"content_filter", HTTP_FINISH_FILTER},
    {"content_filtered", HTTP_FINISH_FILTER},
    {"guardrail_intervened", HTTP_FINISH_FILTER},
    {"refusal", HTTP_FINISH_FILTER},
    {"safety", HTTP_FINISH_FILTER},
    {"recitation", HTTP_FINISH_FILTER},
    {"blocklist", HTTP_FINISH_FILTER},
    {"prohibited_content", HTTP_FINISH_FILTER},
    {"sensitive", HTTP_FINISH_FILTER},
    {"error_toxic", HTTP_FINISH_FILTER},
};

enum http_finish http_finish_of(const char *reason)
{
  if (!reason) return HTTP_FINISH_WHOLE;
  for (size_t i = 0; i < sizeof known / sizeof *known; i++)
    if (strcasecmp(reason, known[i].name) == 0) return known[i].finish;
  return HTTP_FINISH_OTHER;
}
