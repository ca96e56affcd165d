"""The google-genai package: generateContent and its streams, countTokens, embedContent, models; under /v1beta and /v1."""

import base64
import json

from google import genai
from google.genai import errors, types
from harness import CONFIG, DIRECT, KEY, PERSON, PNG, case, contains, equal, raises, run


def connect(version="v1beta", key=KEY):
    return genai.Client(api_key=key, http_options=types.HttpOptions(base_url=CONFIG["google"], api_version=version, timeout=30_000))


client = connect()
WEATHER = types.FunctionDeclaration(
    name="weather",
    description="the weather",
    parameters=types.Schema(type="OBJECT", properties={"city": types.Schema(type="STRING")}, required=["city"]),
)
OTHER = types.FunctionDeclaration(name="no_arguments", description="takes none")
TOOLS = types.GenerateContentConfig(
    tools=[types.Tool(function_declarations=[WEATHER, OTHER])],
    automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
)


def config(**changes):
    return TOOLS.model_copy(update=changes)


def user(text):
    return types.Content(role="user", parts=[types.Part(text=text)])


def generate(target, contents, options=None, through=client):
    return through.models.generate_content(model=target.model, contents=contents, config=options)


def calls_of(content):
    return [part.function_call for part in content.parts if part.function_call]


def spoken(content):
    return "".join(part.text or "" for part in content.parts if not part.thought)


def answered(content, results):
    parts = [
        types.Part(function_response=types.FunctionResponse(name=call.name, id=call.id, response={"output": result}))
        for call, result in zip(calls_of(content), results, strict=True)
    ]
    return [content, types.Content(role="user", parts=parts)]


def gathered(stream):
    """The parts of a stream as one turn, as the chat helper of the package keeps them."""
    parts, last = [], None
    for chunk in stream:
        last = chunk
        if chunk.candidates and chunk.candidates[0].content and chunk.candidates[0].content.parts:
            parts += chunk.candidates[0].content.parts
    return types.Content(role="model", parts=parts), last


@case("text")
def text(target):
    answer = generate(target, "say hello world", types.GenerateContentConfig(system_instruction="be brief"))
    equal(answer.text, "hello world")
    equal(answer.candidates[0].finish_reason, types.FinishReason.STOP)
    usage = answer.usage_metadata
    equal(usage.prompt_token_count > 0 and usage.total_token_count > usage.prompt_token_count, True, "usage")


@case("text")
def text_under_v1(target):
    equal(generate(target, "say hi", through=connect("v1")).text, "hi")


@case("stream")
def stream(target):
    content, last = gathered(client.models.generate_content_stream(model=target.model, contents="say one two three"))
    equal(spoken(content), "one two three")
    equal(last.candidates[0].finish_reason, types.FinishReason.STOP)
    equal(last.usage_metadata.prompt_token_count > 0, True, "usage")


@case("stream")
def stream_cut_at_every_byte(target):
    said = "日本語 żółć 😀 end"
    content, _ = gathered(client.models.generate_content_stream(model=target.model, contents=f"[[split 1]] [[crlf]] say {said}"))
    equal(spoken(content), said)


@case("tools")
def tool_loop(target):
    messages = [user('call weather {"city": "Oslo"}')]
    first = generate(target, messages, TOOLS).candidates[0].content
    equal([(call.name, call.args) for call in calls_of(first)], [("weather", {"city": "Oslo"})])
    last = generate(target, messages + answered(first, ["sunny in Oslo"]), TOOLS)
    equal(last.text, "The tool said: sunny in Oslo")


@case("tools", "parallel")
def parallel_tools_in_a_stream(target):
    messages = [user('call weather {"city": "A"}\ncall no_arguments {}\ncall weather {"city": "B"}')]
    first, _ = gathered(client.models.generate_content_stream(model=target.model, contents=messages, config=TOOLS))
    found = [(call.name, call.args or {}) for call in calls_of(first)]
    equal(found, [("weather", {"city": "A"}), ("no_arguments", {}), ("weather", {"city": "B"})])
    last = generate(target, messages + answered(first, ["one", "two", "three"]), TOOLS)
    equal(last.text, "The tool said: one | two | three")


@case("tools")
def automatic_function_calling(target):
    def weather(city: str) -> str:
        """The weather of a city."""
        return f"windy in {city}"

    answer = generate(target, 'call weather {"city": "Rome"}', types.GenerateContentConfig(tools=[weather]))
    contains(answer.text, "windy in Rome")


@case("tools", "tool_choice")
def tool_choice(target):
    calling = types.FunctionCallingConfig(mode="ANY", allowed_function_names=["weather"])
    forced = generate(target, "hello", config(tool_config=types.ToolConfig(function_calling_config=calling)))
    equal([call.name for call in calls_of(forced.candidates[0].content)], ["weather"])
    none = types.ToolConfig(function_calling_config=types.FunctionCallingConfig(mode="NONE"))
    equal(generate(target, "say no", config(tool_config=none)).text, "no")


@case("tools", "thinking")
def thought_signatures_survive_a_tool_loop(target):
    options = config(thinking_config=types.ThinkingConfig(include_thoughts=True, thinking_budget=2048), max_output_tokens=16000)
    messages = [user('call weather {"city": "A"}\nthen\ncall weather {"city": "B"}')]
    for city in ["A", "B"]:
        content, _ = gathered(client.models.generate_content_stream(model=target.model, contents=messages, config=options))
        equal([call.args for call in calls_of(content)], [{"city": city}])
        if target.has("replayed_thinking"):
            equal(any(part.thought_signature for part in content.parts), True, "a signature")
        messages += answered(content, [f"fine in {city}"])
    equal(generate(target, messages, options).text, "The tool said: fine in B")


@case("images")
def image(target):
    part = types.Part.from_bytes(data=base64.b64decode(PNG), mime_type="image/png")
    contains(generate(target, [types.Content(role="user", parts=[types.Part(text="look"), part])]).text, "images: 1")


@case("schema")
def structured_output(target):
    schema = {key: value for key, value in PERSON.items() if key != "additionalProperties"}
    for key in ["response_schema", "response_json_schema"]:
        options = types.GenerateContentConfig(response_mime_type="application/json", **{key: schema if key == "response_schema" else PERSON})
        equal(sorted(json.loads(generate(target, "who? answer in json", options).text)), ["age", "name"], key)


@case("limits")
def limit_and_stop(target):
    cut = generate(target, "say one two three four", types.GenerateContentConfig(max_output_tokens=2))
    equal((cut.text, cut.candidates[0].finish_reason), ("one two", types.FinishReason.MAX_TOKENS))
    if target.has("stop"):
        equal(generate(target, "say one two three", types.GenerateContentConfig(stop_sequences=[" three"])).text, "one two")


@case("text")
def count_tokens(target):
    equal(client.models.count_tokens(model=target.model, contents="one two three").total_tokens > 0, True)


@case("text")
def errors_keep_their_meaning(target):
    limited = raises(errors.ClientError, lambda: generate(target, "[[error 429 retry-after=7]] x"))
    equal((limited.code, limited.status), (429, "RESOURCE_EXHAUSTED"))
    bad = raises(errors.ClientError, lambda: generate(target, "[[error 400]] x"))
    equal((bad.code, bad.status), (400, "INVALID_ARGUMENT"))
    raises(errors.ServerError, lambda: generate(target, "[[error 503]] x"))


@case("stream", gateway_only=True)
def cut_stream_is_an_error(target):
    raises(errors.APIError, lambda: list(client.models.generate_content_stream(model=target.model, contents="[[cut-after 4]] say a b c d e f")))


@case("text", once=True)
def wrong_key(target):
    error = raises(errors.ClientError, lambda: generate(target, "x", through=connect(key="wrong")))
    equal(error.code in (400, 401), True, f"code {error.code}")


@case("text", once=True)
def unknown_model(target):
    error = raises(errors.ClientError, lambda: client.models.generate_content(model="missing-model", contents="x"))
    equal((error.code, error.status), (404, "NOT_FOUND"))


@case("text", once=True)
def models_are_listed(target):
    names = [model.name for model in client.models.list(config={"query_base": True})]
    equal(len(names) > 0, True)
    if not DIRECT:
        equal(f"models/{target.model}" in names, True, f"{target.model} in {names}")


@case("embeddings")
def embeddings(target):
    answer = client.models.embed_content(model=target.model, contents=["one", "two"], config={"output_dimensionality": 4})
    equal([len(item.values) for item in answer.embeddings], [4, 4])
    equal(answer.embeddings[0].values != answer.embeddings[1].values, True, "distinct vectors")


run("google-genai-py", wanted="google")
