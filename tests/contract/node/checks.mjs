// Checks of a gateway with OpenAI's Node client: form only, the models are tiny.

import assert from "node:assert/strict";
import OpenAI from "openai";
import { zodFunction, zodResponseFormat, zodTextFormat } from "openai/helpers/zod";
import { z } from "zod";

const model = "ailiance-apertus";
const messages = [{ role: "user", content: "How do I choose a decoupling capacitor?" }];
const short = { model, messages, temperature: 0, max_tokens: 12 };
const enough = { model, messages, temperature: 0, max_tokens: 256 };

const Part = z.object({ kind: z.enum(["resistor", "capacitor"]), critical: z.boolean() });
const Measure = z.object({ unit: z.enum(["V", "A", "W"]), average: z.boolean() });
const measure = { name: "measure", description: "Reads one instrument.", parameters: Measure };
const tools = [zodFunction(measure)];
const named = { type: "function", function: { name: "measure" } };

async function gathered(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return chunks;
}

function checkUsage(usage, most) {
  assert.ok(usage.prompt_tokens > 0);
  assert.ok(usage.completion_tokens > 0 && usage.completion_tokens <= most);
  assert.equal(usage.total_tokens, usage.prompt_tokens + usage.completion_tokens);
}

function checkCalls(message) {
  assert.equal(message.content, null);
  assert.ok(message.tool_calls.length > 0);
  for (const call of message.tool_calls) {
    assert.equal(call.function.name, "measure");
    Measure.parse(JSON.parse(call.function.arguments));
  }
}

async function refused(promise, kind, wanted) {
  const error = await promise.then(
    () => assert.fail("it was not refused"),
    (error) => error,
  );
  assert.ok(error instanceof kind, String(error));
  for (const [key, value] of Object.entries(wanted)) assert.equal(error[key], value);
}

export const checks = {
  async plain(client) {
    const answer = await client.chat.completions.create(short);
    assert.ok(answer.choices[0].message.content);
    assert.match(answer.id, /^chatcmpl-/);
    checkUsage(answer.usage, 12);
  },

  async stream(client) {
    const whole = await client.chat.completions.create(short);
    const options = { stream: true, stream_options: { include_usage: true } };
    const chunks = await gathered(await client.chat.completions.create({ ...short, ...options }));
    const text = chunks.map((chunk) => chunk.choices[0]?.delta.content ?? "").join("");
    assert.equal(text, whole.choices[0].message.content);
    checkUsage(chunks.at(-1).usage, 12);
  },

  async stream_helper(client) {
    const whole = await client.chat.completions.create(short);
    const runner = client.chat.completions.stream(short);
    let text = "";
    runner.on("content", (delta) => (text += delta));
    assert.equal(await runner.finalContent(), whole.choices[0].message.content);
    assert.equal(text, whole.choices[0].message.content);
  },

  async abort(client) {
    const stream = await client.chat.completions.create({ ...enough, stream: true });
    for await (const chunk of stream) {
      assert.ok(chunk.id);
      break; // aborts the request
    }
    assert.ok(stream.controller.signal.aborted);
  },

  async n(client) {
    const answer = await client.chat.completions.create({ ...short, n: 2 });
    assert.deepEqual(answer.choices.map((choice) => choice.index), [0, 1]);
  },

  async logprobs(client) {
    const answer = await client.chat.completions.create({
      ...short,
      logprobs: true,
      top_logprobs: 2,
    });
    const [{ logprobs, message }] = answer.choices;
    const bytes = logprobs.content.flatMap((entry) => entry.bytes);
    assert.equal(Buffer.from(bytes).toString(), message.content);
    for (const entry of logprobs.content) assert.equal(entry.top_logprobs.length, 2);
  },

  async tools(client) {
    for (const tool_choice of ["required", named]) {
      const answer = await client.chat.completions.create({ ...enough, tools, tool_choice });
      checkCalls(answer.choices[0].message);
    }
  },

  async tools_parsed(client) {
    const fields = { ...enough, tools, tool_choice: "required" };
    const answer = await client.chat.completions.parse(fields);
    const message = answer.choices[0].message;
    const turns = [...messages, message]; // with parsed_arguments, as this client leaves them
    for (const call of message.tool_calls) {
      Measure.parse(call.function.parsed_arguments);
      turns.push({ role: "tool", tool_call_id: call.id, content: "3.3 V" });
    }
    const second = { ...short, messages: turns, tools, tool_choice: "none" };
    assert.ok((await client.chat.completions.create(second)).choices[0].message.content);
  },

  async tools_streamed(client) {
    const fields = { ...enough, tools, tool_choice: "required" };
    const plain = await client.chat.completions.create(fields);
    const runner = client.chat.completions.stream(fields);
    const { choices } = await runner.finalChatCompletion();
    // this client makes "" of the first chunk's content, where OpenAI's first chunk says null
    checkCalls({ ...choices[0].message, content: choices[0].message.content || null });
    const told = ({ message }) => message.tool_calls.map((call) => call.function.arguments);
    assert.deepEqual(told(choices[0]), told(plain.choices[0]));
    assert.equal(choices[0].finish_reason, "tool_calls");
  },

  async run_tools(client) {
    for (const stream of [false, true]) {
      const seen = [];
      const run = async (given) => {
        seen.push(Measure.parse(given));
        return { value: 3.3 };
      };
      const fields = { ...enough, tools: [zodFunction({ ...measure, function: run })], stream };
      const runner = client.chat.completions.runTools(
        { ...fields, tool_choice: "required", parallel_tool_calls: false },
        { maxChatCompletions: 2 },
      );
      await runner.done();
      assert.equal(seen.length, 2);
      const roles = runner.messages.map((message) => message.role);
      assert.deepEqual(roles, ["user", "assistant", "tool", "assistant", "tool"]);
    }
  },

  async structured(client) {
    const fields = { ...enough, response_format: zodResponseFormat(Part, "part") };
    const answer = await client.chat.completions.parse(fields);
    const message = answer.choices[0].message;
    Part.parse(message.parsed);
    const turns = [...messages, message, ...messages]; // with parsed, as this client leaves it
    assert.ok((await client.chat.completions.create({ ...short, messages: turns })).id);
  },

  async structured_streamed(client) {
    const fields = { ...enough, response_format: zodResponseFormat(Part, "part") };
    const runner = client.chat.completions.stream(fields);
    const { choices } = await runner.finalChatCompletion();
    Part.parse(choices[0].message.parsed);
  },

  async completions(client) {
    const fields = { model, temperature: 0, max_tokens: 12 };
    const prompt = ["A window function", "The gate driver"];
    const answer = await client.completions.create({ ...fields, prompt, logprobs: 1, echo: true });
    assert.deepEqual(answer.choices.map((choice) => choice.index), [0, 1]);
    for (const [index, choice] of answer.choices.entries()) {
      assert.ok(choice.text.startsWith(prompt[index]));
      assert.equal(choice.logprobs.token_logprobs[0], null);
    }
    const stream = await client.completions.create({ ...fields, prompt: prompt[0], stream: true });
    const text = (await gathered(stream)).map((chunk) => chunk.choices[0].text).join("");
    assert.equal(prompt[0] + text, answer.choices[0].text);
  },

  async embeddings(client) {
    // left out, this client asks for base64 and decodes it
    const found = [];
    for (const encoding_format of [undefined, "float", "base64"]) {
      const input = ["A window function", "The gate driver"];
      const answer = await client.embeddings.create({ model, input, encoding_format });
      assert.deepEqual(answer.data.map((entry) => entry.index), [0, 1]);
      found.push(answer.data[0].embedding);
    }
    const [decoded, plain, raw] = found;
    assert.equal(decoded.length, plain.length);
    plain.forEach((value, i) => assert.ok(Math.abs(value - decoded[i]) < 1e-5));
    assert.equal(typeof raw, "string");
  },

  async responses(client) {
    const fields = { model, input: messages[0].content, temperature: 0, max_output_tokens: 12 };
    const answer = await client.responses.create(fields);
    assert.equal(answer.object, "response");
    assert.ok(answer.output_text);
    let text = "";
    const kinds = [];
    for await (const event of await client.responses.create({ ...fields, stream: true })) {
      kinds.push(event.type);
      if (event.type === "response.output_text.delta") text += event.delta;
    }
    assert.equal(text, answer.output_text);
    assert.equal(kinds[0], "response.created");
    assert.ok(["response.completed", "response.incomplete"].includes(kinds.at(-1)));
  },

  async responses_parsed(client) {
    const answer = await client.responses.parse({
      model,
      input: messages,
      temperature: 0,
      max_output_tokens: 256,
      text: { format: zodTextFormat(Part, "part") },
    });
    Part.parse(answer.output_parsed);
  },

  async models(client) {
    const found = [];
    for await (const entry of client.models.list()) found.push(entry.id);
    assert.ok(found.includes(model));
    assert.equal((await client.models.retrieve(model)).owned_by, "ailiance");
  },

  async errors(client) {
    const create = (fields) => client.chat.completions.create({ ...short, ...fields });
    const unknown = { status: 404, code: "model_not_found", param: "model" };
    await refused(create({ model: "gpt-5" }), OpenAI.NotFoundError, unknown);
    await refused(client.models.retrieve("gpt-5"), OpenAI.NotFoundError, { status: 404 });
    const hot = { status: 400, param: "temperature", type: "invalid_request_error" };
    await refused(create({ temperature: 3 }), OpenAI.BadRequestError, hot);
    await refused(create({ temperature: 3, stream: true }), OpenAI.BadRequestError, hot);
    const odd = { status: 400, param: "tempo", code: "unknown_parameter" };
    await refused(create({ tempo: 1 }), OpenAI.BadRequestError, odd);
  },
};
