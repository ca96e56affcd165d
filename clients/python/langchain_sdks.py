"""LangChain's three chat models and its embeddings: invoke, stream, tool loop, structured output."""

from harness import CONFIG, KEY, case, contains, equal, run
from langchain_anthropic import ChatAnthropic
from langchain_core.messages import HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from langchain_google_genai import ChatGoogleGenerativeAI
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from pydantic import BaseModel


def models(target):
    """The chat models that this target is to be reached by."""
    if target.has("openai_client"):
        yield ChatOpenAI(base_url=CONFIG["openai"], api_key=KEY, model=target.model, max_retries=0)
    if target.has("anthropic_client"):
        yield ChatAnthropic(base_url=CONFIG["anthropic"], api_key=KEY, model_name=target.model, max_tokens=4000, max_retries=0)
    if target.has("google_client"):
        yield ChatGoogleGenerativeAI(base_url=CONFIG["google"], google_api_key=KEY, model=target.model, max_retries=1)


@tool
def weather(city: str) -> str:
    """The weather of a city."""
    return f"windy in {city}"


class Person(BaseModel):
    """Somebody."""

    name: str
    age: int


@case("text")
def invoke(target):
    for model in models(target):
        answer = model.invoke([SystemMessage("be brief"), HumanMessage("say hello world")])
        equal(answer.text, "hello world", type(model).__name__)
        equal(answer.usage_metadata["input_tokens"] > 0, True, "usage")


@case("stream")
def stream(target):
    for model in models(target):
        equal("".join(chunk.text for chunk in model.stream("say one two three")), "one two three", type(model).__name__)


@case("tools", "parallel")
def tool_loop(target):
    for model in models(target):
        bound = model.bind_tools([weather])
        messages = [HumanMessage('call weather {"city": "A"}\ncall weather {"city": "B"}')]
        first = bound.invoke(messages)
        equal([call["args"] for call in first.tool_calls], [{"city": "A"}, {"city": "B"}], type(model).__name__)
        messages.append(first)
        messages += [ToolMessage(weather.invoke(call["args"]), tool_call_id=call["id"]) for call in first.tool_calls]
        contains(bound.invoke(messages).text, "windy in A | windy in B", type(model).__name__)


@case("tools", "schema")
def structured_output(target):
    for model in models(target):
        found = model.with_structured_output(Person).invoke("who? answer in json")
        equal(isinstance(found, Person), True, type(model).__name__)


@case("embeddings", "openai_client")
def embeddings(target):
    maker = OpenAIEmbeddings(base_url=CONFIG["openai"], api_key=KEY, model=target.model, check_embedding_ctx_length=False)
    vectors = maker.embed_documents(["one", "two"])
    equal(len(vectors), 2)
    equal(vectors[0] != vectors[1], True)


run("langchain-py")
