"""The openai package: Chat Completions, Responses, Completions, Embeddings, Models."""

import json

import openai
from harness import CONFIG, DIRECT, KEY, PERSON, PNG, WEATHER, case, contains, equal, raises, received, run

client = openai.OpenAI(base_url=CONFIG["openai"], api_key=KEY, max_retries=0, timeout=30)
TOOLS = [
    {"type": "function", "function": {"name": "weather", "description": "the weather", "parameters": WEATHER}},
    {"type": "function", "function": {"name": "no_arguments", "parameters": {"type": "object", "properties": {}}}},
]
FLAT_TOOLS = [{"type": "function", **tool["function"], "strict": False} for tool in TOOLS]


def user(text):
    return [{"role": "user", "content": text}]


def chat(target, messages, **options):
    return client.chat.completions.create(model=target.model, messages=messages, **options)


@case("text")
def chat_text(target):
    answer = chat(target, [{"role": "system", "content": "be brief"}, *user("say hello world")])
    equal(answer.choices[0].message.content, "hello world")
    equal(answer.choices[0].finish_reason, "stop")
    equal(answer.usage.prompt_tokens > 0 and answer.usage.completion_tokens > 0, True, "usage")
    equal(answer.usage.total_tokens, answer.usage.prompt_tokens + answer.usage.completion_tokens, "total")


@case("text", "system")
def chat_developer_message(target):
    answer = chat(target, [{"role": "developer", "content": "be brief"}, *user("say hi")])
    equal(answer.choices[0].message.content, "hi")


def streamed(stream):
    text, usage, finish, roles = "", None, None, 0
    for chunk in stream:
        usage = chunk.usage or usage
        for choice in chunk.choices:
            text += choice.delta.content or ""
            roles += choice.delta.role is not None
            finish = choice.finish_reason or finish
    return text, usage, finish


@case("stream")
def chat_stream(target):
    text, usage, finish = streamed(chat(target, user("say one two three"), stream=True, stream_options={"include_usage": True}))
    equal((text, finish), ("one two three", "stop"))
    equal(usage is not None and usage.prompt_tokens > 0, True, "usage")


@case("stream", gateway_only=True)
def chat_stream_shows_usage_only_if_asked(target):
    text, usage, _ = streamed(chat(target, user("say one two"), stream=True))
    equal(text, "one two")
    equal(usage is None or target.has("usage_unasked"), True, "usage that nobody asked for")


@case("stream")
def chat_stream_cut_at_every_byte(target):
    said = "日本語 żółć 😀 end"
    text, _, finish = streamed(chat(target, user(f"[[split 1]] say {said}"), stream=True))
    equal((text, finish), (said, "stop"))


@case("stream")
def chat_stream_with_crlf_and_comments(target):
    text, _, finish = streamed(chat(target, user("[[crlf]] [[comments]] [[no-space]] say a b c"), stream=True))
    equal((text, finish), ("a b c", "stop"))


def answer_calls(message, results):
    back = message.model_dump(exclude_none=True)
    tools = [{"role": "tool", "tool_call_id": call.id, "content": result} for call, result in zip(message.tool_calls, results, strict=True)]
    return [back, *tools]


@case("tools")
def chat_tool_loop(target):
    messages = user('call weather {"city": "Oslo"}')
    first = chat(target, messages, tools=TOOLS)
    equal(first.choices[0].finish_reason, "tool_calls")
    message = first.choices[0].message
    equal([(call.function.name, json.loads(call.function.arguments)) for call in message.tool_calls], [("weather", {"city": "Oslo"})])
    last = chat(target, messages + answer_calls(message, ["sunny in Oslo"]), tools=TOOLS)
    equal(last.choices[0].message.content, "The tool said: sunny in Oslo")
    equal(last.choices[0].finish_reason, "stop")


@case("tools", "parallel")
def chat_parallel_tools_in_a_stream(target):
    messages = user('call weather {"city": "A"}\ncall no_arguments {}\ncall weather {"city": "B"}')
    with client.chat.completions.stream(model=target.model, messages=messages, tools=TOOLS) as stream:
        for _ in stream:
            pass
        message = stream.get_final_completion().choices[0].message
    equal([(c.function.name, json.loads(c.function.arguments)) for c in message.tool_calls], [("weather", {"city": "A"}), ("no_arguments", {}), ("weather", {"city": "B"})])
    equal(len({call.id for call in message.tool_calls}), 3, "distinct ids")
    calls = [{"id": c.id, "type": "function", "function": {"name": c.function.name, "arguments": c.function.arguments}} for c in message.tool_calls]
    back = [{"role": "assistant", "tool_calls": calls}]
    results = [{"role": "tool", "tool_call_id": c.id, "content": word} for c, word in zip(message.tool_calls, ["one", "two", "three"])]
    last = chat(target, messages + back + results, tools=TOOLS)
    equal(last.choices[0].message.content, "The tool said: one | two | three")


@case("tools")
def chat_tools_step_by_step(target):
    messages = user('call weather {"city": "A"}\nthen\ncall weather {"city": "B"}')
    for city in ["A", "B"]:
        message = chat(target, messages, tools=TOOLS).choices[0].message
        equal(json.loads(message.tool_calls[0].function.arguments), {"city": city})
        messages += answer_calls(message, [f"fine in {city}"])
    equal(chat(target, messages, tools=TOOLS).choices[0].message.content, "The tool said: fine in B")


@case("tools")
def chat_tool_choice(target):
    forced = chat(target, user("hello"), tools=TOOLS, tool_choice={"type": "function", "function": {"name": "weather"}})
    equal(forced.choices[0].message.tool_calls[0].function.name, "weather")
    required = chat(target, user("hello"), tools=TOOLS, tool_choice="required")
    equal(len(required.choices[0].message.tool_calls), 1)
    none = chat(target, user("say no"), tools=TOOLS, tool_choice="none")
    equal(none.choices[0].message.content, "no")


@case("tools", "thinking")
def chat_thinking_survives_a_tool_loop(target):
    messages = user('call weather {"city": "Oslo"}')
    options = {"tools": TOOLS, "reasoning_effort": "medium", "max_completion_tokens": 8000}
    message = chat(target, messages, **options).choices[0].message
    equal(message.tool_calls[0].function.name, "weather")
    last = chat(target, messages + answer_calls(message, ["cold"]), **options)
    equal(last.choices[0].message.content, "The tool said: cold")


@case("thinking", "visible_thinking")
def chat_thinking_is_shown(target):
    answer = chat(target, user("say done"), reasoning_effort="high", max_completion_tokens=40000)
    equal(answer.choices[0].message.content, "done")
    shown = (answer.choices[0].message.model_extra or {}).get("reasoning_content") or (answer.choices[0].message.model_extra or {}).get("reasoning")
    contains(shown, "Let me think", "reasoning_content")


@case("images")
def chat_image(target):
    content = [{"type": "text", "text": "look"}, {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}]
    contains(chat(target, [{"role": "user", "content": content}]).choices[0].message.content, "images: 1")


@case("schema")
def chat_structured_output(target):
    shape = {"type": "json_schema", "json_schema": {"name": "person", "schema": PERSON, "strict": True}}
    answer = chat(target, user("who? answer in json"), response_format=shape)
    equal(sorted(json.loads(answer.choices[0].message.content)), ["age", "name"])


@case("limits")
def chat_limit_and_stop(target):
    cut = chat(target, user("say one two three four"), max_completion_tokens=2)
    equal((cut.choices[0].message.content, cut.choices[0].finish_reason), ("one two", "length"))
    if target.has("stop"):
        stopped = chat(target, user("say one two three"), stop=[" three"])
        equal((stopped.choices[0].message.content, stopped.choices[0].finish_reason), ("one two", "stop"))


@case("text")
def chat_errors_keep_their_meaning(target):
    limited = raises(openai.RateLimitError, lambda: chat(target, user("[[error 429 retry-after=7]] x")))
    equal(limited.response.headers.get("retry-after"), "7", "retry-after")
    raises(openai.BadRequestError, lambda: chat(target, user("[[error 400]] x")))
    failed = raises(openai.APIStatusError, lambda: chat(target, user("[[error 500]] x")))
    equal(failed.status_code >= 500, True, f"status {failed.status_code}")


@case("stream")
def chat_failure_before_a_stream_is_a_status(target):
    raises(openai.RateLimitError, lambda: chat(target, user("[[error 429]] x"), stream=True))


@case("stream", "stream_errors")
def chat_failure_inside_a_stream_is_an_error(target):
    raises(openai.APIError, lambda: streamed(chat(target, user("[[error-after 4 500]] say a b c d e f"), stream=True)))


@case("stream", gateway_only=True)
def chat_cut_stream_is_an_error(target):
    raises(openai.APIError, lambda: streamed(chat(target, user("[[cut-after 4]] say a b c d e f"), stream=True)))


@case("text", once=True)
def wrong_key(target):
    raises(openai.AuthenticationError, lambda: client.with_options(api_key="wrong").chat.completions.create(model=target.model, messages=user("x")))


@case("text", once=True)
def unknown_model(target):
    raises(openai.NotFoundError, lambda: client.chat.completions.create(model="missing-model", messages=user("x")))


@case("text", once=True, gateway_only=True)
def malformed_body_is_a_400(target):
    error = raises(openai.BadRequestError, lambda: client.post("/chat/completions", body={"model": target.model, "messages": "no"}, cast_to=object))
    contains(str(error), "messages")


@case("text", once=True)
def models_are_listed(target):
    names = [model.id for model in client.models.list()]
    equal(len(names) > 0, True)
    if not DIRECT:
        equal(target.model in names, True, f"{target.model} in {names}")


@case("completions")
def legacy_completions(target):
    answer = client.completions.create(model=target.model, prompt="say one two", max_tokens=50)
    equal(answer.choices[0].text, "one two")
    text = "".join(chunk.choices[0].text for chunk in client.completions.create(model=target.model, prompt="say one two", max_tokens=50, stream=True) if chunk.choices)
    equal(text, "one two")


@case("embeddings")
def embeddings(target):
    model = target.model
    # The package asks for base64 and decodes it itself.
    packed = client.embeddings.create(model=model, input=["one", "two", "three"])
    plain = client.embeddings.create(model=model, input=["one", "two", "three"], encoding_format="float")
    equal([item.index for item in packed.data], [0, 1, 2])
    equal([item.embedding for item in packed.data], [item.embedding for item in plain.data])
    equal(len({tuple(item.embedding) for item in plain.data}), 3, "distinct vectors")
    sized = client.embeddings.create(model=model, input="one", dimensions=4)
    equal(len(sized.data[0].embedding), 4, "dimensions")


# --- Responses --------------------------------------------------------------------------------------------------------------------------------


def respond(target, given, **options):
    return client.responses.create(model=target.model, input=given, **options)


@case("text")
def responses_text(target):
    answer = respond(target, "say hello world", instructions="be brief", store=False)
    equal((answer.output_text, answer.status), ("hello world", "completed"))
    equal(answer.usage.input_tokens > 0 and answer.usage.output_tokens > 0, True, "usage")


@case("stream")
def responses_stream(target):
    events = list(respond(target, "say one two three", stream=True, store=False))
    equal("".join(e.delta for e in events if e.type == "response.output_text.delta"), "one two three")
    equal([events[0].type, events[-1].type], ["response.created", "response.completed"])
    numbers = [event.sequence_number for event in events]
    equal(numbers, sorted(set(numbers)), "sequence numbers rise")
    equal(events[-1].response.output_text, "one two three")
    done = [event.item.id for event in events if event.type == "response.output_item.done"]
    equal(done, [item.id for item in events[-1].response.output], "item ids agree")


@case("tools")
def responses_tool_loop(target):
    given = user('call weather {"city": "Oslo"}')
    first = respond(target, given, tools=FLAT_TOOLS, store=False)
    calls = [item for item in first.output if item.type == "function_call"]
    equal([(call.name, json.loads(call.arguments)) for call in calls], [("weather", {"city": "Oslo"})])
    back = [item.model_dump(exclude_none=True) for item in first.output]
    outputs = [{"type": "function_call_output", "call_id": call.call_id, "output": "sunny"} for call in calls]
    last = respond(target, given + back + outputs, tools=FLAT_TOOLS, store=False)
    equal(last.output_text, "The tool said: sunny")


@case("tools", "parallel")
def responses_parallel_tools_in_a_stream(target):
    given = user('call weather {"city": "A"}\ncall weather {"city": "B"}')
    with client.responses.stream(model=target.model, input=given, tools=FLAT_TOOLS, store=False) as stream:
        final = [event for event in stream][-1].response
    calls = [item for item in final.output if item.type == "function_call"]
    equal([json.loads(call.arguments)["city"] for call in calls], ["A", "B"])
    back = [{"type": "function_call", "call_id": c.call_id, "name": c.name, "arguments": c.arguments} for c in calls]
    outputs = [{"type": "function_call_output", "call_id": c.call_id, "output": c.call_id[-1:] and word} for c, word in zip(calls, ["one", "two"])]
    equal(respond(target, given + back + outputs, tools=FLAT_TOOLS, store=False).output_text, "The tool said: one | two")


@case("tools", "thinking")
def responses_reasoning_survives_without_a_store(target):
    options = {"tools": FLAT_TOOLS, "store": False, "include": ["reasoning.encrypted_content"], "reasoning": {"effort": "medium", "summary": "auto"}, "max_output_tokens": 20000}
    given = user('call weather {"city": "Oslo"}')
    first = respond(target, given, **options)
    back = [item.model_dump(exclude_none=True) for item in first.output]
    if target.has("replayed_thinking"):
        equal(any(item["type"] == "reasoning" and item.get("encrypted_content") for item in back), True, "encrypted reasoning")
    call = next(item for item in first.output if item.type == "function_call")
    outputs = [{"type": "function_call_output", "call_id": call.call_id, "output": "cold"}]
    equal(respond(target, given + back + outputs, **options).output_text, "The tool said: cold")


@case("text", "system")
def responses_continue_by_id(target):
    first = respond(target, "say one")
    second = respond(target, "say two", previous_response_id=first.id)
    equal(second.output_text, "two")
    body = received()[-1]["body"]
    if not DIRECT and "previous_response_id" not in body:
        contains(json.dumps(body), "say one", "history sent along")
    missing = raises(openai.APIStatusError, lambda: respond(target, "x", previous_response_id="resp_missing"))
    equal(missing.status_code in (400, 404), True, f"status {missing.status_code}")


@case("images")
def responses_image(target):
    content = [{"type": "input_text", "text": "look"}, {"type": "input_image", "image_url": f"data:image/png;base64,{PNG}", "detail": "auto"}]
    contains(respond(target, [{"role": "user", "content": content}], store=False).output_text, "images: 1")


@case("schema")
def responses_structured_output(target):
    shape = {"format": {"type": "json_schema", "name": "person", "schema": PERSON, "strict": True}}
    equal(sorted(json.loads(respond(target, "who? answer in json", text=shape, store=False).output_text)), ["age", "name"])


@case("limits")
def responses_limit(target):
    answer = respond(target, "repeat 40 word", max_output_tokens=16, store=False)
    equal((answer.status, answer.incomplete_details.reason), ("incomplete", "max_output_tokens"))


@case("text")
def responses_errors(target):
    limited = raises(openai.RateLimitError, lambda: respond(target, "[[error 429 retry-after=7]] x", store=False))
    equal(limited.response.headers.get("retry-after"), "7", "retry-after")
    raises(openai.BadRequestError, lambda: respond(target, "[[error 400]] x", store=False))


@case("stream", "stream_errors")
def responses_failure_inside_a_stream(target):
    def read():
        return [event.type for event in respond(target, "[[error-after 5 500]] say a b c d e f", stream=True, store=False)]

    try:
        kinds = read()
    except openai.APIError:
        return
    equal(kinds[-1], "response.failed")


@case("count", once=True)
def responses_count_input(target):
    answer = client.responses.input_tokens.count(model=target.model, input="one two three")
    equal(answer.input_tokens > 0, True)


run("openai-py", wanted="openai")
