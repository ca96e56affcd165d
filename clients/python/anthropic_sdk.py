"""The anthropic package: Messages, count_tokens, Models."""

import json
import uuid

import anthropic
from harness import CONFIG, DIRECT, KEY, PERSON, PNG, WEATHER, case, contains, equal, raises, run

client = anthropic.Anthropic(base_url=CONFIG["anthropic"], api_key=KEY, max_retries=0, timeout=30)
TOOLS = [
    {"name": "weather", "description": "the weather", "input_schema": WEATHER},
    {"name": "no_arguments", "input_schema": {"type": "object", "properties": {}}},
]


def user(text):
    return [{"role": "user", "content": text}]


def create(target, messages, **options):
    return client.messages.create(model=target.model, messages=messages, **{"max_tokens": 4000, **options})


def text_of(message):
    return "".join(block.text for block in message.content if block.type == "text")


def calls_of(message):
    return [block for block in message.content if block.type == "tool_use"]


def answered(message, results):
    """The assistant's turn as it came, and the results of its calls."""
    blocks = [{"type": "tool_result", "tool_use_id": call.id, "content": result} for call, result in zip(calls_of(message), results, strict=True)]
    back = [block.model_dump(exclude_none=True) for block in message.content]
    return [{"role": "assistant", "content": back}, {"role": "user", "content": blocks}]


@case("text")
def text(target):
    message = create(target, user("say hello world"), system="be brief")
    equal((text_of(message), message.stop_reason, message.role), ("hello world", "end_turn", "assistant"))
    equal(message.usage.input_tokens > 0 and message.usage.output_tokens > 0, True, "usage")


@case("stream")
def stream(target):
    with client.messages.stream(model=target.model, max_tokens=4000, messages=user("say one two three")) as events:
        kinds = [event.type for event in events]
        message = events.get_final_message()
    equal((text_of(message), message.stop_reason), ("one two three", "end_turn"))
    equal((kinds[0], kinds[-1]), ("message_start", "message_stop"))
    equal(message.usage.output_tokens > 0, True, "usage")


@case("stream")
def stream_cut_at_every_byte(target):
    said = "日本語 żółć 😀 end"
    with client.messages.stream(model=target.model, max_tokens=4000, messages=user(f"[[split 1]] say {said}")) as events:
        equal(text_of(events.get_final_message()), said)


@case("tools")
def tool_loop(target):
    messages = user('call weather {"city": "Oslo"}')
    first = create(target, messages, tools=TOOLS)
    equal(first.stop_reason, "tool_use")
    equal([(call.name, call.input) for call in calls_of(first)], [("weather", {"city": "Oslo"})])
    last = create(target, messages + answered(first, ["sunny in Oslo"]), tools=TOOLS)
    equal((text_of(last), last.stop_reason), ("The tool said: sunny in Oslo", "end_turn"))


@case("tools", "parallel")
def parallel_tools_in_a_stream(target):
    messages = user('call weather {"city": "A"}\ncall no_arguments {}\ncall weather {"city": "B"}')
    with client.messages.stream(model=target.model, max_tokens=4000, messages=messages, tools=TOOLS) as events:
        first = events.get_final_message()
    equal([(call.name, call.input) for call in calls_of(first)], [("weather", {"city": "A"}), ("no_arguments", {}), ("weather", {"city": "B"})])
    equal(len({call.id for call in calls_of(first)}), 3, "distinct ids")
    last = create(target, messages + answered(first, ["one", "two", "three"]), tools=TOOLS)
    equal(text_of(last), "The tool said: one | two | three")


@case("tools")
def text_after_results_and_an_error_result(target):
    messages = user('call weather {"city": "A"}')
    first = create(target, messages, tools=TOOLS)
    back = answered(first, ["it broke"])
    back[1]["content"][0]["is_error"] = True
    back[1]["content"].append({"type": "text", "text": "(a reminder)"})
    contains(text_of(create(target, messages + back, tools=TOOLS)), "it broke")


@case("tools")
def tool_choice(target):
    forced = create(target, user("hello"), tools=TOOLS, tool_choice={"type": "tool", "name": "weather"})
    equal([call.name for call in calls_of(forced)], ["weather"])
    equal(len(calls_of(create(target, user("hello"), tools=TOOLS, tool_choice={"type": "any"}))), 1)
    equal(text_of(create(target, user("say no"), tools=TOOLS, tool_choice={"type": "none"})), "no")


def think_through_a_loop(target, thinking, streams):
    messages = user('call weather {"city": "A"}\nthen\ncall weather {"city": "B"}')
    options = {"tools": TOOLS, "thinking": thinking, "max_tokens": 16000}
    for city in ["A", "B"]:
        if streams:
            with client.messages.stream(model=target.model, messages=messages, **options) as events:
                message = events.get_final_message()
        else:
            message = create(target, messages, **options)
        equal([call.input for call in calls_of(message)], [{"city": city}])
        if target.has("replayed_thinking"):
            equal(message.content[0].type in ("thinking", "redacted_thinking"), True, f"starts with {message.content[0].type}")
        messages += answered(message, [f"fine in {city}"])
    equal(text_of(create(target, messages, **options)), "The tool said: fine in B")


@case("tools", "thinking")
def thinking_survives_a_tool_loop(target):
    think_through_a_loop(target, {"type": "enabled", "budget_tokens": 2048}, streams=False)


@case("tools", "thinking", "stream")
def thinking_survives_a_streamed_tool_loop(target):
    think_through_a_loop(target, {"type": "enabled", "budget_tokens": 2048}, streams=True)


@case("tools", "redacted")
def redacted_thinking_survives_a_tool_loop(target):
    messages = user('[[redacted]] call weather {"city": "A"}')
    options = {"tools": TOOLS, "thinking": {"type": "enabled", "budget_tokens": 2048}, "max_tokens": 16000}
    first = create(target, messages, **options)
    equal(first.content[0].type, "redacted_thinking")
    equal(text_of(create(target, messages + answered(first, ["ok"]), **options)), "The tool said: ok")


@case("images")
def image(target):
    source = {"type": "base64", "media_type": "image/png", "data": PNG}
    content = [{"type": "text", "text": "look"}, {"type": "image", "source": source}]
    contains(text_of(create(target, [{"role": "user", "content": content}])), "images: 1")


@case("tools", "images")
def image_in_a_tool_result(target):
    messages = user('call weather {"city": "A"}')
    first = create(target, messages, tools=TOOLS)
    back = answered(first, ["x"])
    source = {"type": "base64", "media_type": "image/png", "data": PNG}
    back[1]["content"][0]["content"] = [{"type": "text", "text": "a picture"}, {"type": "image", "source": source}]
    last = text_of(create(target, messages + back, tools=TOOLS))
    contains(last, "a picture")
    contains(last, "images: 1")


@case("limits")
def limit_and_stop(target):
    cut = create(target, user("say one two three four"), max_tokens=2)
    equal((text_of(cut), cut.stop_reason), ("one two", "max_tokens"))
    if target.has("stop"):
        stopped = create(target, user("say one two three"), stop_sequences=[" three"])
        equal(text_of(stopped), "one two")
        equal(stopped.stop_reason in ("stop_sequence", "end_turn"), True)


@case("schema")
def structured_output(target):
    config = {"format": {"type": "json_schema", "schema": PERSON}}
    message = create(target, user("who? answer in json"), output_config=config)
    equal(sorted(json.loads(text_of(message))), ["age", "name"])


@case("cache")
def cache_marks_reach_the_provider(target):
    system = [{"type": "text", "text": f"a prompt that no cache has seen: {uuid.uuid4()} " + "word " * 50, "cache_control": {"type": "ephemeral"}}]
    first = create(target, user("say a"), system=system)
    second = create(target, user("say b"), system=system)
    equal(first.usage.cache_creation_input_tokens > 0, True, "written")
    equal(second.usage.cache_read_input_tokens, first.usage.cache_creation_input_tokens, "read again")


@case("text")
def count_tokens(target):
    count = client.messages.count_tokens(model=target.model, messages=user("one two three"), system="be brief", tools=TOOLS)
    equal(count.input_tokens > 0, True)


@case("text")
def errors_keep_their_meaning(target):
    limited = raises(anthropic.RateLimitError, lambda: create(target, user("[[error 429 retry-after=7]] x")))
    equal(limited.response.headers.get("retry-after"), "7", "retry-after")
    equal(limited.body["error"]["type"], "rate_limit_error")
    bad = raises(anthropic.BadRequestError, lambda: create(target, user("[[error 400]] x")))
    equal(bad.body["error"]["type"], "invalid_request_error")
    overloaded = raises(anthropic.APIStatusError, lambda: create(target, user("[[error 529]] x")))
    if target.has("529"):
        equal((overloaded.status_code, overloaded.body["error"]["type"]), (529, "overloaded_error"))


@case("stream", "stream_errors")
def failure_inside_a_stream_is_an_error_event(target):
    def read():
        with client.messages.stream(model=target.model, max_tokens=100, messages=user("[[error-after 6 529]] say a b c d e f g h")) as events:
            return events.get_final_message()

    raises(anthropic.APIError, read)


@case("stream", gateway_only=True)
def cut_stream_is_an_error_event(target):
    def read():
        with client.messages.stream(model=target.model, max_tokens=100, messages=user("[[cut-after 5]] say a b c d e f g h")) as events:
            return events.get_final_message()

    raises(anthropic.APIError, read)


@case("text", once=True)
def wrong_key(target):
    raises(anthropic.AuthenticationError, lambda: client.with_options(api_key="wrong").messages.create(model=target.model, max_tokens=5, messages=user("x")))


@case("text", once=True)
def bearer_key(target):
    bearer = anthropic.Anthropic(base_url=CONFIG["anthropic"], auth_token=KEY, api_key=None, max_retries=0)
    equal(text_of(bearer.messages.create(model=target.model, max_tokens=50, messages=user("say hi"))), "hi")


@case("text", once=True)
def unknown_model(target):
    raises(anthropic.NotFoundError, lambda: client.messages.create(model="missing-model", max_tokens=5, messages=user("x")))


@case("text", once=True)
def models_are_listed(target):
    names = [model.id for model in client.models.list()]
    equal(len(names) > 0, True)
    if not DIRECT:
        equal(target.model in names, True, f"{target.model} in {names}")


run("anthropic-py", wanted="anthropic")
