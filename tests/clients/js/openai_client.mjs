// The stock `openai` package for Node.js. Prints what each check saw; see checks.mjs.
import OpenAI from "openai";
import { zodResponseFormat, zodTextFormat } from "openai/helpers/zod";
import { z } from "zod";
import { check, settings, thrown } from "./checks.mjs";

const { base, models, keys, images } = settings;
const client = (more = {}) => new OpenAI({ baseURL: base, apiKey: "unused", maxRetries: 0, timeout: 120_000, ...more });
const openai = client();
const user = (content) => [{ role: "user", content }];
const short = { model: models.chat, messages: user("Name a colour."), max_tokens: 8, temperature: 0 };
const Colour = z.strictObject({ colour: z.enum(["red", "green", "blue"]) });
const paint = { type: "function", function: { name: "paint", parameters: z.toJSONSchema(Colour) } };
const asksTool = { ...short, max_tokens: 60, tools: [paint], tool_choice: "required", parallel_tool_calls: false };
const well = () => openai.chat.completions.create({ ...short, model: models.frail, max_tokens: 1 });

await check("answer", async () => {
  const { data, request_id } = await openai.chat.completions.create(short).withResponse();
  const { choices, usage } = data;
  return { text: choices[0].message.content, reason: choices[0].finish_reason, usage, id: request_id };
});

await check("stream", async () => {
  const chunks = [];
  const asked = { ...short, stream: true, stream_options: { include_usage: true } };
  for await (const chunk of await openai.chat.completions.create(asked)) chunks.push(chunk);
  const text = chunks.map((chunk) => chunk.choices[0]?.delta?.content ?? "").join("");
  return { text, usage: chunks.at(-1).usage, role: chunks[0].choices[0].delta.role };
});

await check("tools", async () => {
  const { choices } = await openai.chat.completions.create(asksTool);
  const { tool_calls: [call], ...rest } = choices[0].message;
  const messages = [
    ...short.messages,
    { ...rest, tool_calls: [call] },
    { role: "tool", tool_call_id: call.id, content: "Done." },
  ];
  const after = await openai.chat.completions.create({ ...short, messages, tools: [paint], tool_choice: "none" });
  return { reason: choices[0].finish_reason, call, after: after.choices[0].message.content };
});

await check("streamed_tools", async () => {
  const deltas = [];
  const stream = openai.chat.completions.stream(asksTool);
  stream.on("tool_calls.function.arguments.delta", ({ arguments_delta }) => deltas.push(arguments_delta));
  const { choices } = await stream.finalChatCompletion();
  return { deltas, reason: choices[0].finish_reason, call: choices[0].message.tool_calls[0] };
});

await check("parse", async () => {
  const response_format = zodResponseFormat(Colour, "colour");
  const chat = await openai.chat.completions.parse({ ...short, max_tokens: 40, response_format });
  const response = await openai.responses.parse({
    model: models.chat, input: "Name a colour.", max_output_tokens: 40, temperature: 0,
    text: { format: zodTextFormat(Colour, "colour") },
  });
  return { chat: chat.choices[0].message.parsed, response: response.output_parsed };
});

await check("image", async () => {
  const look = async (...urls) => {
    const parts = urls.map((url) => ({ type: "image_url", image_url: { url } }));
    const messages = user([...parts, { type: "text", text: "What is this?" }]);
    const answer = await openai.chat.completions.create({ ...short, model: models.seeing, messages, max_tokens: 2 });
    return answer.usage.prompt_tokens;
  };
  return { blind: await look(), seeing: await look(images.red) };
});

await check("embeddings", async () => {
  const { data, usage } = await openai.embeddings.create({ model: models.embedder, input: ["the cat", "a dog"] });
  return { squares: data.map(({ embedding }) => embedding.reduce((sum, x) => sum + x * x, 0)), usage };
});

await check("responses", async () => {
  const asked = { model: models.chat, input: "Name a colour.", max_output_tokens: 8, temperature: 0 };
  const { output_text, usage } = await openai.responses.create(asked);
  const types = [];
  let text = "";
  for await (const event of await openai.responses.create({ ...asked, stream: true })) {
    types.push(event.type);
    if (event.type === "response.output_text.delta") text += event.delta;
  }
  return { whole: output_text, text, usage, first: types[0], last: types.at(-1) };
});

await check("completions", async () => {
  const asked = { model: models.chat, prompt: "Name a colour.", max_tokens: 8, temperature: 0 };
  const { choices } = await openai.completions.create(asked);
  let text = "";
  for await (const chunk of await openai.completions.create({ ...asked, stream: true })) text += chunk.choices[0].text;
  return { whole: choices[0].text, text };
});

await check("models", async () => {
  const ids = [];
  for await (const model of openai.models.list()) ids.push(model.id);
  return { ids, one: (await openai.models.retrieve(models.chat)).id };
});

await check("errors", async () => {
  const ask = (more = {}, options = {}) => client(options).chat.completions.create({ ...short, max_tokens: 1, ...more });
  const frail = (words) => ({ model: models.frail, messages: user(words) });
  const seen = {
    400: await thrown(() => ask({ temperature: 3 })),
    401: await thrown(() => ask({}, { apiKey: keys.unknown })),
    402: await thrown(() => ask({}, { apiKey: keys.poor })),
    403: await thrown(() => ask({}, { apiKey: keys.narrow })),
    404: await thrown(() => ask({ model: "nobody/has-this" })),
    429: await thrown(async () => {
      for (let turn = 0; turn < 3; turn++) await ask({}, { apiKey: keys.slow });
    }),
    502: await thrown(() => ask(frail("fail at once"))),
    503: await thrown(() => ask({ provider: { max_price: { completion: 0.0001 } } })),
    504: await thrown(() => ask(frail("say nothing"), { baseURL: settings.hasty })),
    timeout: await thrown(() => ask(frail("say nothing"), { timeout: 500 })),
  };
  await well();
  return seen;
});

await check("broken_stream", async () => {
  const asked = { ...short, model: models.frail, messages: user("fail midway: write a long story."), max_tokens: 60 };
  let text = "";
  const error = await thrown(async () => {
    for await (const { choices } of await openai.chat.completions.create({ ...asked, stream: true })) {
      text += choices[0]?.delta?.content ?? "";
    }
  });
  await well();
  return { text, error };
});
