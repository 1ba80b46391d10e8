/* text: between bytes and token ids: tokenizers, chat templates, thought prompts and their parser.
 *
 *   struct tpo_tokenizer *tok;
 *   if (tpo_tokenizer_open(&tok, "models/smollm2", &err) < 0) ...   // folder, .gguf or checkpoint
 *   struct tpo_ids ids = {0};
 *   tpo_tokenizer_encode(tok, "Hello", 5, TPO_ENCODE_SPECIAL | TPO_ENCODE_BOS_EOS, &ids, &err);
 *   struct tpo_buf text = {0};
 *   tpo_tokenizer_decode(tok, ids.ids, ids.n, true, &text, &err);
 */
#ifndef TPO_TEXT_H
#define TPO_TEXT_H

#include "tpo/base.h"
#include "tpo/config.h"

struct tpo_tokenizer;
struct tpo_template;

struct tpo_ids {
  int32_t *ids; /* owned */
  size_t n, capacity;
};
TPO_API int tpo_ids_append(struct tpo_ids *list, const int32_t *ids, size_t n, struct tpo_error *err);
TPO_API void tpo_ids_free(struct tpo_ids *list);

/* path: a folder with tokenizer.json (tokenizer_config.json for flags), a
 * .gguf with its vocabulary, or a checkpoint. */
TPO_API int tpo_tokenizer_open(struct tpo_tokenizer **out, const char *path, struct tpo_error *err);
TPO_API void tpo_tokenizer_close(struct tpo_tokenizer *tok);

enum {
  TPO_ENCODE_SPECIAL = 1, /* special tokens' names in the text become those tokens */
  TPO_ENCODE_BOS_EOS = 2, /* add BOS and EOS where the tokenizer's own settings add them */
  /* the text continues another: no space is put before it (SentencePiece) */
  TPO_ENCODE_CONTINUE = 4
};
/* Any bytes are accepted and round-trip: bytes that are not UTF-8 become the tokens of single bytes, and so
 * does U+2581 where SentencePiece would read it as a space. As upstream does, a byte for which the vocabulary
 * has no token is left out (or becomes the unknown token), a normalizer of the tokenizer's own (NFC) is
 * obeyed, and added tokens that are not special are recognised always. One that is written as the glyph of a
 * byte stands for that byte, too, and is it when decoded. */
TPO_API int tpo_tokenizer_encode(const struct tpo_tokenizer *tok, const char *text, size_t len,
                                 unsigned flags, struct tpo_ids *out, struct tpo_error *err);
/* Appends the bytes of the tokens; special tokens appear by name only if special, but for a single byte or
 * character that is marked so (padding set to `!`) and ends no text: it is text. The space that encoding
 * puts before a text (SentencePiece) is taken away again; tpo_tokenizer_token keeps it, for decoding piece by
 * piece. */
TPO_API int tpo_tokenizer_decode(const struct tpo_tokenizer *tok, const int32_t *ids, size_t n, bool special,
                                 struct tpo_buf *out, struct tpo_error *err);
TPO_API int tpo_tokenizer_size(const struct tpo_tokenizer *tok);
/* TPO_E_INPUT where there are more tokens than the model's vocabulary has; fewer are usual (padding). */
TPO_API int tpo_tokenizer_check_vocab(const struct tpo_tokenizer *tok, int vocab_size, struct tpo_error *err);
/* Bytes of one token (borrowed); *special tells whether it is a control token, which says nothing. NULL for an
 * id without a token. */
TPO_API const char *tpo_tokenizer_token(const struct tpo_tokenizer *tok, int32_t id, size_t *len,
                                        bool *special);
/* "control", "added" (recognised always, but says its text), "byte" (bytes that are no text by themselves), "text";
 * NULL for an id without a token. */
TPO_API const char *tpo_tokenizer_kind(const struct tpo_tokenizer *tok, int32_t id);
/* a special/added token's id, or -1 */
TPO_API int32_t tpo_tokenizer_find(const struct tpo_tokenizer *tok, const char *name);
TPO_API int32_t tpo_tokenizer_bos(const struct tpo_tokenizer *tok); /* -1: none */
TPO_API int32_t tpo_tokenizer_eos(const struct tpo_tokenizer *tok);
/* The tokenizer's and template's files, for a checkpoint to carry: calls fn(name, bytes, len) for
 * tokenizer.json, tokenizer_config.json, generation_config.json, special_tokens_map.json, chat_template.jinja
 * as far as there are any. A folder's template for tools, additional_chat_templates/tool_use.jinja, and the
 * chat_template.jinja beside it are in tokenizer_config.json then, as a list. Of a GGUF, an equivalent tokenizer.json and tokenizer_config.json are made, that
 * transformers loads too. */
TPO_API int tpo_tokenizer_each_file(const struct tpo_tokenizer *tok,
                                    int (*fn)(void *arg, const char *name, const char *bytes, size_t len,
                                              struct tpo_error *err),
                                    void *arg, struct tpo_error *err);

/* All ids that end a turn or text: generation_config's eos_token_id list (where it has none, config.json's),
 * the tokenizer's EOS, the template's own end of turn. */
TPO_API int tpo_tokenizer_end_ids(const struct tpo_tokenizer *tok, const struct tpo_template *tmpl,
                                  struct tpo_ids *out, struct tpo_error *err);

struct tpo_message {
  const char *role, *content; /* role: system, user, assistant, or what else the template takes */
};

/* A chat to be rendered; all of it is borrowed. */
struct tpo_chat {
  const struct tpo_message *messages; /* [n] */
  size_t n;
  /* In their place, unless NULL: the JSON text of an array of message objects, which may have more to them
   * (tool_calls, contents that are lists of parts). */
  const char *messages_json;
  const char *tools_json;     /* JSON text of an array of what the model may call; NULL: none */
  const char *documents_json; /* JSON text of an array of what it may quote; NULL: none */
  const char
      *template_args; /* JSON text of an object: more variables of the template, such as {"enable_thinking":
                               * true}; NULL: none */
  bool generation_prompt; /* the beginning of the assistant's turn comes last */
  bool continue_final;    /* the text ends with the last message's content, which the model goes on with */
};

/* The model's own chat template, which is run as transformers runs it, Jinja with its settings and
 * enable_thinking false, and reaches nothing but the chat; what can't be run is refused by line and construct, a
 * missing one is refused unless pieces are given. pieces may be all empty; given, they take precedence over the model's
 * template. Where they are dispensable and the model has no template, a chat is its messages' contents and nothing
 * between them. A template that shows contents only where they are lists of parts, and none that is a string, gets
 * every string as a list of one text part. pieces->date goes with any template. NULL: the configuration's pieces are
 * not this model's (a judge's), and an error doesn't advise to give them. */
TPO_API int tpo_template_open(struct tpo_template **out, const struct tpo_tokenizer *tok,
                              const struct tpo_template_config *pieces, struct tpo_error *err);
TPO_API void tpo_template_close(struct tpo_template *tmpl);
/* The rendered chat text, as transformers' apply_chat_template gives it. A template that asks for today's date
 * (Llama 3.2) is told template.date: a chat has the same tokens on every day. Where a template refuses a chat, its own
 * words are the message. */
TPO_API int tpo_template_render(const struct tpo_template *tmpl, const struct tpo_message *messages, size_t n,
                                bool generation_prompt, struct tpo_buf *out, struct tpo_error *err);
/* The same as ids: only the template's own text becomes control tokens, contents stay text; BOS is there where the
 * template puts it. */
TPO_API int tpo_template_encode(const struct tpo_template *tmpl, const struct tpo_message *messages, size_t n,
                                bool generation_prompt, struct tpo_ids *out, struct tpo_error *err);

/* Either of a chat, or both at once: text and ids may be NULL. Where it fails, neither has changed. With a generation
 * prompt, a chat is refused that ends with a message of the user of which the template shows nothing. */
TPO_API int tpo_template_render_chat(const struct tpo_template *tmpl, const struct tpo_chat *chat,
                                     struct tpo_buf *text, struct tpo_ids *ids, struct tpo_error *err);

/* The template_args that go with a chat (borrowed; NULL: none): the layout's, where the template is the model's own. The
 * pieces of a configuration have no switches: what they say is said. thought may be NULL. */
TPO_API const char *tpo_thought_args(const struct tpo_thought_config *thought,
                                     const struct tpo_template *tmpl);
/* An answer as a model would have said it after the chat, which ends with a generation prompt: its text as it stands, through
 * the token that ends the turn, appended. For answers that the template, once they are part of a chat, shows otherwise (without their
 * thoughts). The opening of a thought that the prompt says (<think>, or the layout's marker) is not said again; an answer that
 * neither opens nor closes one gets an empty one there. Refused where the prompt has closed a thought that the answer holds.
 * The layout's markers in the answer may be control tokens. thought may be NULL. */
TPO_API int tpo_template_encode_answer(const struct tpo_template *tmpl,
                                       const struct tpo_thought_config *thought, const struct tpo_chat *chat,
                                       const char *answer, struct tpo_ids *out, struct tpo_error *err);

/* A stretch of a rendered chat: a control token, or text that came from one place. */
struct tpo_stretch {
  const char *text; /* borrowed while it is told; no NUL need follow */
  size_t len;
  /* "template line 3", "messages[0].content", "bos_token", "tools", "prefill"...; of a control token that came from
   * several, the first; "computed": a number or what a filter put in */
  const char *origin;
  int32_t token; /* the control token's id; -1: text */
};
/* 0, or a negative code with err set, which ends the telling. */
typedef int (*tpo_stretch_fn)(void *arg, const struct tpo_stretch *stretch, struct tpo_error *err);
/* Tells fn the stretches of the rendered chat in their order, without a gap. */
TPO_API int tpo_template_explain(const struct tpo_template *tmpl, const struct tpo_chat *chat,
                                 tpo_stretch_fn fn, void *arg, struct tpo_error *err);
/* The same of what tpo_thought_render makes of a chat. */
TPO_API int tpo_thought_explain(const struct tpo_thought_config *thought, const struct tpo_template *tmpl,
                                const char *messages_json, tpo_stretch_fn fn, void *arg,
                                struct tpo_error *err);

/* The chat of an instruction under a thought prompt, as ids with the prefill at its end, and as text.
 * messages_json (may be NULL) is a whole chat whose last user message gets the thought prompt. Its own system
 * message, if it has one, stays; that of a layout with a response marker comes behind it, in the same message, and
 * that of any other layout is left out. */
TPO_API int tpo_thought_render(const struct tpo_thought_config *thought, const struct tpo_template *tmpl,
                               const char *instruction, const char *messages_json, struct tpo_ids *ids,
                               struct tpo_buf *text, struct tpo_error *err);

/* The text of the chat template that an exported model gets (free() it): its own, or the configuration's pieces as
 * one, with which jinja2 and the programs that serve models render the prompts that training sampled from, where they
 * ask for a generation prompt. NULL where the model's own does so as it is. TPO_E_USAGE where it asks for a thought
 * already. The layout must have been settled on. */
TPO_API int tpo_thought_template(const struct tpo_thought_config *thought, const struct tpo_template *tmpl,
                                 char **out, struct tpo_error *err);
/* What who serves such a model must know, appended, a sentence a line: which parsers tell its thought from its
 * response, and in what a server's prompt may still differ. */
TPO_API int tpo_thought_tell_servers(const struct tpo_thought_config *thought,
                                     const struct tpo_template *tmpl, struct tpo_buf *out,
                                     struct tpo_error *err);
/* Whether it is the text of a template that tpo_thought_template made. */
TPO_API bool tpo_template_asks_for_thought(const char *source);

/* thought: auto, of the section and of watches, becomes think-tags where the model's template knows <think>, in its
 * source or, made of pieces, in what it renders, and a prompt under think-tags doesn't end the thought already; else
 * generic; keys given beside it stay. Any other layout is left as it is. *why (may be NULL): the reason, a clause of
 * static storage. TPO_E_USAGE where an exported model's template asks for a thought that think-tags doesn't read. */
TPO_API int tpo_thought_resolve(struct tpo_config *config, const struct tpo_template *tmpl, const char **why,
                                struct tpo_error *err);
/* Refuses a layout whose markers the tokenizer can't make, whose prompt the template refuses, which asks for a
 * thought where an exported model's template does so already or looks for another than that, or whose prefill says
 * again what the template says.
 * What is odd but possible is told in *warning, a sentence. tmpl may be NULL. */
TPO_API int tpo_thought_check(const struct tpo_thought_config *thought, const struct tpo_tokenizer *tok,
                              const struct tpo_template *tmpl, struct tpo_buf *warning,
                              struct tpo_error *err);
/* The same, and what is odd is logged as a warning. */
TPO_API int tpo_thought_check_and_warn(const struct tpo_thought_config *thought,
                                       const struct tpo_tokenizer *tok, const struct tpo_template *tmpl,
                                       struct tpo_error *err);
/* What an output's text begins with, appended: the end of the prompt from where the template opens a thought with
 * the layout's marker and says nothing after it (think-tags, where <think> ends the prompt), else the prefill. tmpl may be NULL. */
TPO_API int tpo_thought_begun(const struct tpo_thought_config *thought, const struct tpo_template *tmpl,
                              struct tpo_buf *out, struct tpo_error *err);
/* The tokens that a marker is where it is inserted, appended: control tokens by their names. NULL: none. */
TPO_API int tpo_thought_marker_ids(const char *marker, const struct tpo_tokenizer *tok, struct tpo_ids *out,
                                   struct tpo_error *err);
/* The control tokens that markers hold, appended: in outputs of the layout they say their names. */
TPO_API int tpo_thought_spoken_ids(const struct tpo_thought_config *thought, const struct tpo_tokenizer *tok,
                                   struct tpo_ids *out, struct tpo_error *err);
/* How many tokens the response marker is that may be inserted into an output; 0 where none is. */
TPO_API int tpo_thought_marker_tokens(const struct tpo_thought_config *thought,
                                      const struct tpo_tokenizer *tok, int *n, struct tpo_error *err);

struct tpo_parsed {
  bool format_ok, response_ok;
  size_t thought_begin, thought_end; /* byte offsets into the text, trimmed of surrounding white space */
  size_t response_begin, response_end;
};
/* text: what tpo_thought_begun tells + output. format_ok: a thought and a response that are not empty, between markers as
 * thought->parse asks: both, in order, each once (strict), or the first thought marker and the first response
 * marker after it, wherever they stand (search). Without a thought marker in the layout, the thought is what
 * stands before the response marker; without either, all of the output is response. response_ok: so, but for a thought
 * that may be empty: the response is told for sure, and counts where none but it is wanted. Otherwise the offsets are
 * what could be told; always thought before response, within the text, and on code points of valid UTF-8.
 * Never fails; any bytes are accepted. */
TPO_API void tpo_thought_parse(const struct tpo_thought_config *thought, const char *text, size_t len,
                               struct tpo_parsed *out);
/* Whether the text has the layout by that rule, whatever thought->parse says. */
TPO_API bool tpo_thought_parses(const struct tpo_thought_config *thought, enum tpo_parse_rule rule,
                                const char *text, size_t len);

#endif
