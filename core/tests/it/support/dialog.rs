//! A conversation as a client of each format holds it: what came is sent back as it came, tools are answered, streams are put together.

use serde_json::{Map, Value, json};

use super::{TestGateway, fold};

/// The format that a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Client {
    Chat,
    Responses,
    Messages,
    Gemini,
    Ollama,
}

/// Every client that knows tools.
pub const CLIENTS: [Client; 5] = [Client::Chat, Client::Responses, Client::Messages, Client::Gemini, Client::Ollama];

/// A tool call as the client sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct Called {
    pub id: String,
    pub name: String,
    pub arguments: Value,
}

/// What one turn of the model said.
#[derive(Debug, Clone, Default)]
pub struct Said {
    pub text: String,
    pub thinking: String,
    pub calls: Vec<Called>,
    /// Why it ended, in the format's own word.
    pub finish: String,
    /// The whole answer.
    pub answer: Value,
    /// `x-myelin-loss`.
    pub loss: String,
}

/// A conversation.
#[derive(Debug)]
pub struct Dialog {
    pub client: Client,
    pub model: String,
    pub stream: bool,
    /// Turns in the client's shape.
    pub history: Vec<Value>,
    /// More fields of the request.
    pub fields: Map<String, Value>,
}

impl Dialog {
    pub fn new(client: Client, model: &str, stream: bool) -> Self {
        Self { client, model: model.to_owned(), stream, history: Vec::new(), fields: Map::new() }
    }

    /// Adds fields to every request.
    pub fn with(mut self, fields: Value) -> Self {
        self.fields.extend(fields.as_object().expect("fields are an object").clone());
        self
    }

    /// Offers functions: name and JSON Schema.
    pub fn tools(self, tools: &[(&str, Value)]) -> Self {
        let list =
            |each: &dyn Fn(&str, &Value) -> Value| tools.iter().map(|(name, schema)| each(name, schema)).collect();
        let list: Vec<Value> = match self.client {
            Client::Chat | Client::Ollama => list(
                &|name, schema| json!({"type": "function", "function": {"name": name, "description": "d", "parameters": schema}}),
            ),
            Client::Responses => list(
                &|name, schema| json!({"type": "function", "name": name, "description": "d", "parameters": schema}),
            ),
            Client::Messages => list(&|name, schema| json!({"name": name, "description": "d", "input_schema": schema})),
            Client::Gemini => {
                let all: Vec<Value> =
                    list(&|name, schema| json!({"name": name, "description": "d", "parametersJsonSchema": schema}));
                vec![json!({"functionDeclarations": all})]
            }
        };
        self.with(json!({"tools": list}))
    }

    /// A person says something.
    pub fn user(&mut self, text: &str) {
        self.history.push(match self.client {
            Client::Gemini => json!({"role": "user", "parts": [{"text": text}]}),
            _ => json!({"role": "user", "content": text}),
        });
    }

    /// The path and body of the next request.
    pub fn request(&self) -> (String, Value) {
        let mut body = json!({});
        let path = match self.client {
            Client::Gemini => {
                let model = self.model.replace('/', "%2F");
                let verb = if self.stream { "streamGenerateContent?alt=sse" } else { "generateContent" };
                body["contents"] = json!(self.history);
                format!("/v1beta/models/{model}:{verb}")
            }
            other => {
                body["model"] = json!(self.model);
                body["stream"] = json!(self.stream);
                let (path, field) = match other {
                    Client::Chat => ("/v1/chat/completions", "messages"),
                    Client::Responses => ("/v1/responses", "input"),
                    Client::Messages => ("/v1/messages", "messages"),
                    _ => ("/api/chat", "messages"),
                };
                body[field] = json!(self.history);
                path.to_owned()
            }
        };
        if self.client == Client::Messages {
            body["max_tokens"] = json!(4096);
        }
        if self.client == Client::Responses {
            body["store"] = json!(false);
            body["include"] = json!(["reasoning.encrypted_content"]);
        }
        for (name, value) in &self.fields {
            body[name] = value.clone();
        }
        (path, body)
    }

    /// Asks, reads the answer, and keeps it in the history as it came. `Err`: status and body of a refusal.
    pub async fn ask(&mut self, gateway: &TestGateway) -> Result<Said, String> {
        let (path, body) = self.request();
        let reply = gateway.post(&path).json(&body).send().await.expect("an answer");
        let status = reply.status().as_u16();
        let loss =
            reply.headers().get("x-myelin-loss").and_then(|loss| loss.to_str().ok()).unwrap_or_default().to_owned();
        let text = reply.text().await.expect("a body");
        if status != 200 {
            return Err(format!("{status} {text}\nasked: {body}"));
        }
        let answer = self.read(&text);
        let mut said = self.said(&answer);
        said.loss = loss;
        said.answer = answer;
        Ok(said)
    }

    /// Answers calls: a result for each, in order.
    pub fn results(&mut self, results: &[(&Called, &str)]) {
        let each: Vec<Value> = results.iter().map(|(call, text)| self.result(call, text)).collect();
        match self.client {
            Client::Messages => self.history.push(json!({"role": "user", "content": each})),
            Client::Gemini => self.history.push(json!({"role": "user", "parts": each})),
            _ => self.history.extend(each),
        }
    }

    fn result(&self, call: &Called, text: &str) -> Value {
        match self.client {
            Client::Chat => json!({"role": "tool", "tool_call_id": call.id, "content": text}),
            Client::Responses => json!({"type": "function_call_output", "call_id": call.id, "output": text}),
            Client::Messages => json!({"type": "tool_result", "tool_use_id": call.id, "content": text}),
            Client::Gemini => {
                let mut response = json!({"name": call.name, "response": {"result": text}});
                if !call.id.is_empty() {
                    response["id"] = json!(call.id);
                }
                json!({"functionResponse": response})
            }
            Client::Ollama => json!({"role": "tool", "tool_name": call.name, "content": text}),
        }
    }

    /// Reads a whole answer that was fetched elsewhere.
    pub fn said_in(&mut self, text: &str) -> Said {
        let answer = self.read(text);
        self.said(&answer)
    }

    fn read(&self, text: &str) -> Value {
        let whole = || serde_json::from_str::<Value>(text).unwrap_or_else(|_| panic!("no JSON: {text}"));
        match (self.client, self.stream) {
            (Client::Chat, false) => whole()["choices"][0].clone(),
            (Client::Chat, true) => fold::chat(text),
            (Client::Responses, true) => fold::responses(text),
            (Client::Messages, true) => fold::messages(text),
            (Client::Gemini, true) => fold::gemini(text),
            (Client::Ollama, true) => fold::ollama(text),
            (_, false) => whole(),
        }
    }

    /// Reads an answer and appends its turn to the history.
    fn said(&mut self, answer: &Value) -> Said {
        let mut said = Said::default();
        match self.client {
            Client::Chat => {
                let message = &answer["message"];
                said.finish = text(&answer["finish_reason"]);
                said.text = text(&message["content"]);
                said.thinking = text(&message["reasoning_content"]) + &text(&message["reasoning"]);
                for call in list(&message["tool_calls"]) {
                    said.calls.push(called(
                        &call["id"],
                        &call["function"]["name"],
                        &parsed(&call["function"]["arguments"]),
                    ));
                }
                self.history.push(message.clone());
            }
            Client::Responses => {
                said.finish = text(&answer["status"]);
                for item in list(&answer["output"]) {
                    match item["type"].as_str().unwrap_or_default() {
                        "message" => said.text += &text(&item["content"][0]["text"]),
                        "reasoning" => {
                            said.thinking += &text(&item["summary"][0]["text"]);
                            said.thinking += &text(&item["content"][0]["text"]);
                        }
                        "function_call" => {
                            said.calls.push(called(&item["call_id"], &item["name"], &parsed(&item["arguments"])));
                        }
                        _ => {}
                    }
                    self.history.push(item.clone());
                }
            }
            Client::Messages => {
                said.finish = text(&answer["stop_reason"]);
                for block in list(&answer["content"]) {
                    said.text += &text(&block["text"]);
                    said.thinking += &text(&block["thinking"]);
                    if block["type"] == "tool_use" {
                        said.calls.push(called(&block["id"], &block["name"], &block["input"]));
                    }
                }
                self.history.push(json!({"role": "assistant", "content": answer["content"]}));
            }
            Client::Gemini => {
                let candidate = &answer["candidates"][0];
                said.finish = text(&candidate["finishReason"]);
                for part in list(&candidate["content"]["parts"]) {
                    let into = if part["thought"] == true { &mut said.thinking } else { &mut said.text };
                    into.push_str(&text(&part["text"]));
                    let call = &part["functionCall"];
                    if call.is_object() {
                        said.calls.push(called(&call["id"], &call["name"], &call["args"]));
                    }
                }
                self.history.push(candidate["content"].clone());
            }
            Client::Ollama => {
                let message = &answer["message"];
                said.text = text(&message["content"]);
                said.thinking = text(&message["thinking"]);
                for call in list(&message["tool_calls"]) {
                    said.calls.push(called(&call["id"], &call["function"]["name"], &call["function"]["arguments"]));
                }
                self.history.push(message.clone());
            }
        }
        said
    }
}

fn called(id: &Value, name: &Value, arguments: &Value) -> Called {
    Called { id: text(id), name: text(name), arguments: arguments.clone() }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn parsed(arguments: &Value) -> Value {
    serde_json::from_str(arguments.as_str().unwrap_or_default()).unwrap_or(Value::Null)
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}
