/* Chats as data sets publish them, brought into one form. */
#ifndef TPO_BASE_CHAT_H
#define TPO_BASE_CHAT_H

#include "base/json.h"

/* An array of messages, or one message, as a new array of {role, content}, both text without NUL characters.
 * Read are `role` (or ShareGPT's `from`: human is the user, gpt the assistant) and `content` (or `value`): a
 * string, or a list of {"type": "text", "text": ...} that are put together as they stand. What would change
 * the meaning (tool_calls, an image, a weight, `train: false` of an answer) is refused by its name; other
 * members are left out. Messages of an error begin with "place: name[i]". NULL on error; json_decref() releases. */
json_t *tpo_chat_read(const json_t *value, const char *name, const char *place, struct tpo_error *err);
/* The same for a chat that a template renders and nobody trains on: what a message has besides (tool_calls, tool_call_id,
 * name, reasoning_content, ...) stays, and content may be missing or null beside tool_calls. Images and sounds are refused
 * all the same. */
json_t *tpo_chat_read_whole(const json_t *value, const char *name, const char *place, struct tpo_error *err);
/* What a message's own reasoning has been called, the most usual first. */
enum { TPO_REASONING_NAMES = 3 };
extern const char *const tpo_reasoning_names[TPO_REASONING_NAMES];
/* Whether the text is a dialogue in one string, "\n\nHuman: ...\n\nAssistant: ..." (Anthropic's HH): begins so. */
bool tpo_is_dialogue(const char *text);
/* Such a text in the form above, its turns trimmed of white space; NULL on error. */
json_t *tpo_chat_from_dialogue(const char *text, const char *place, struct tpo_error *err);
/* Refuses by its name a member of a row that stands for a part of the conversation which is not read. */
int tpo_chat_check_row(const json_t *row, const char *const *names, size_t n, const char *place,
                       struct tpo_error *err);
/* Whether a member says something: null, false and what is empty do not. */
bool tpo_json_says_something(const json_t *value);

#endif
