// The Vercel AI SDK with each of its providers: text, streams, tool loops, structured output, embeddings, errors.

import { createAnthropic } from '@ai-sdk/anthropic';
import { createGoogleGenerativeAI } from '@ai-sdk/google';
import { createOpenAI } from '@ai-sdk/openai';
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { embedMany, generateObject, generateText, stepCountIs, streamText, tool } from 'ai';
import { z } from 'zod';

import { CONFIG, contains, equal, KEY, PNG, run, scenario } from './harness.mjs';

globalThis.AI_SDK_LOG_WARNINGS = false;

const openai = createOpenAI({ baseURL: CONFIG.openai, apiKey: KEY });
const compatible = createOpenAICompatible({ name: 'gateway', baseURL: CONFIG.openai, apiKey: KEY, supportsStructuredOutputs: true });
const anthropic = createAnthropic({ baseURL: `${CONFIG.anthropic}/v1`, apiKey: KEY });
const google = createGoogleGenerativeAI({ baseURL: `${CONFIG.google}/v1beta`, apiKey: KEY });

const MAKERS = {
  openai: { responses: (name) => openai.responses(name), chat: (name) => openai.chat(name), compatible: (name) => compatible(name) },
  anthropic: { anthropic: (name) => anthropic(name) },
  google: { google: (name) => google(name) },
};

const THINKING = {
  responses: { openai: { reasoningEffort: 'medium', reasoningSummary: 'auto', store: false, include: ['reasoning.encrypted_content'] } },
  chat: { openai: { reasoningEffort: 'medium' } },
  compatible: { gateway: { reasoningEffort: 'medium' } },
  anthropic: { anthropic: { thinking: { type: 'enabled', budgetTokens: 2048 } } },
  google: { google: { thinkingConfig: { includeThoughts: true, thinkingBudget: 2048 } } },
};

const tools = {
  weather: tool({
    description: 'the weather',
    inputSchema: z.object({ city: z.string() }),
    execute: async ({ city }) => `fine in ${city}`,
  }),
};

for (const [client, makers] of Object.entries(MAKERS)) {
  for (const [kind, make] of Object.entries(makers)) {
    const model = (target) => make(target.model);
    const at = (name, needs, work) => scenario(`${kind}_${name}`, [`${client}_client`, ...needs], work);

    at('text', ['text'], async (target) => {
      const answer = await generateText({ model: model(target), system: 'be brief', prompt: 'say hello world', maxRetries: 0 });
      equal([answer.text, answer.finishReason], ['hello world', 'stop']);
      equal(answer.usage.inputTokens > 0 && answer.usage.outputTokens > 0, true, 'usage');
    });

    at('stream', ['stream'], async (target) => {
      const stream = streamText({ model: model(target), prompt: 'say one two three', maxRetries: 0 });
      let text = '';
      for await (const piece of stream.textStream) text += piece;
      equal([text, await stream.finishReason], ['one two three', 'stop']);
    });

    at('tool_loop', ['tools', 'parallel'], async (target) => {
      const prompt = 'call weather {"city": "A"}\ncall weather {"city": "B"}\nthen\ncall weather {"city": "C"}';
      const answer = await generateText({ model: model(target), tools, prompt, stopWhen: stepCountIs(5), maxRetries: 0 });
      equal(answer.steps.map((step) => step.toolCalls.map((call) => call.input.city)), [['A', 'B'], ['C'], []]);
      // The Google provider packs the result into an object, which another provider's model gets as it is.
      contains(answer.text, 'The tool said: ');
      contains(answer.text, 'fine in C');
    });

    at('streamed_tool_loop_with_thinking', ['tools', 'thinking'], async (target) => {
      const prompt = 'call weather {"city": "A"}\nthen\ncall weather {"city": "B"}';
      const stream = streamText({
        model: model(target),
        tools,
        prompt,
        stopWhen: stepCountIs(5),
        maxRetries: 0,
        // This provider calls the limit `max_tokens`, which OpenAI's reasoning models refuse.
        maxOutputTokens: kind === 'compatible' ? undefined : 16_000,
        providerOptions: THINKING[kind],
        onError: () => {},
      });
      let text = '';
      for await (const part of stream.fullStream) {
        if (part.type === 'error') throw part.error;
        if (part.type === 'text-delta') text += part.text;
      }
      contains(text, 'The tool said: ');
      contains(text, 'fine in B');
    });

    at('image', ['images'], async (target) => {
      const content = [
        { type: 'text', text: 'look' },
        { type: 'file', data: PNG, mediaType: 'image/png' },
      ];
      const answer = await generateText({ model: model(target), messages: [{ role: 'user', content }], maxRetries: 0 });
      contains(answer.text, 'images: 1');
    });

    at('structured_output', ['schema', 'tools'], async (target) => {
      const schema = z.object({ name: z.string(), age: z.number() });
      const answer = await generateObject({ model: model(target), schema, prompt: 'who? answer in json', maxRetries: 0 });
      equal(Object.keys(answer.object).sort(), ['age', 'name']);
    });

    at('error_keeps_its_status', ['text'], async (target) => {
      try {
        await generateText({ model: model(target), prompt: '[[error 429 retry-after=7]] x', maxRetries: 0 });
      } catch (error) {
        equal(error.statusCode, 429);
        return;
      }
      throw new Error('no error');
    });
  }
}

scenario('openai_embeddings', ['openai_client', 'embeddings'], async (target) => {
  const { embeddings } = await embedMany({ model: openai.textEmbeddingModel(target.model), values: ['one', 'two'], maxRetries: 0 });
  equal(embeddings.length, 2);
});

scenario('google_embeddings', ['google_client', 'embeddings'], async (target) => {
  const { embeddings } = await embedMany({ model: google.textEmbeddingModel(target.model), values: ['one', 'two'], maxRetries: 0 });
  equal(embeddings.length, 2);
});

await run('ai-sdk', 'ai-sdk');
