// The Vercel AI SDK over its provider for OpenAI-like APIs. Prints what each check saw; see checks.mjs.
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { embedMany, generateObject, generateText, isStepCount, Output, streamText, tool } from "ai";
import { z } from "zod";
import { check, settings, thrown } from "./checks.mjs";

const { base, models, keys, images } = settings;
const peernode = createOpenAICompatible({
  name: "peernode", baseURL: base, apiKey: keys.good, includeUsage: true, supportsStructuredOutputs: true,
});
const short = {
  model: peernode(models.chat), prompt: "Name a colour.", maxOutputTokens: 8, temperature: 0, maxRetries: 0,
};
const Colour = z.strictObject({ colour: z.enum(["red", "green", "blue"]) });
const tools = { paint: tool({ inputSchema: Colour, execute: async ({ colour }) => `It is ${colour} now.` }) };
const asksTool = { ...short, maxOutputTokens: 60, tools, toolChoice: "required" };

await check("generate_text", async () => {
  const { text, usage, finishReason } = await generateText(short);
  return { text, usage, finishReason };
});

await check("stream_text", async () => {
  const { textStream, usage, finishReason } = streamText(short);
  let text = "";
  for await (const piece of textStream) text += piece;
  return { text, usage: await usage, finishReason: await finishReason };
});

await check("generate_object", async () => {
  const asked = { ...short, maxOutputTokens: 40 };
  const { object } = await generateObject({ ...asked, schema: Colour });
  const { output } = await generateText({ ...asked, output: Output.object({ schema: Colour }) });
  return { object, output };
});

await check("tools", async () => {
  const { toolCalls, toolResults, finishReason } = await generateText(asksTool);
  return { calls: toolCalls, results: toolResults, finishReason };
});

await check("streamed_tools", async () => {
  const { stream } = streamText(asksTool);
  const types = [];
  let input;
  for await (const part of stream) {
    types.push(part.type);
    if (part.type === "tool-call") input = part.input;
  }
  return { types, input };
});

await check("tool_loop", async () => {
  const prepareStep = ({ stepNumber }) => ({ toolChoice: stepNumber ? "none" : "required" });
  const { steps, text } = await generateText({ ...asksTool, prepareStep, stopWhen: isStepCount(2) });
  return { steps: steps.length, text };
});

await check("image", async () => {
  const look = async (...urls) => {
    const parts = urls.map((url) => ({ type: "file", mediaType: "image/png", data: url.split(",")[1] }));
    const messages = [{ role: "user", content: [...parts, { type: "text", text: "What is this?" }] }];
    const asked = { model: peernode(models.seeing), messages, maxOutputTokens: 2, temperature: 0, maxRetries: 0 };
    return (await generateText(asked)).usage.inputTokens;
  };
  return { blind: await look(), seeing: await look(images.red) };
});

await check("embed", async () => {
  const model = peernode.embeddingModel(models.embedder);
  const { embeddings } = await embedMany({ model, values: ["the cat", "a dog"], maxRetries: 0 });
  return embeddings.map((embedding) => embedding.reduce((sum, x) => sum + x * x, 0));
});

await check("errors", async () => {
  const keyed = (apiKey) => createOpenAICompatible({ name: "peernode", baseURL: base, apiKey })(models.chat);
  return {
    400: await thrown(() => generateText({ ...short, temperature: 3 })),
    401: await thrown(() => generateText({ ...short, model: keyed(keys.unknown) })),
    402: await thrown(() => generateText({ ...short, model: keyed(keys.poor) })),
    404: await thrown(() => generateText({ ...short, model: peernode("nobody/has-this") })),
  };
});

await check("broken_stream", async () => {
  const prompt = "fail midway: write a long story.";
  const frail = { ...short, model: peernode(models.frail), maxOutputTokens: 60 };
  const { stream } = streamText({ ...frail, prompt, onError: () => {} });
  let text = "";
  const errors = [];
  for await (const part of stream) {
    if (part.type === "text-delta") text += part.text;
    if (part.type === "error") errors.push(String(part.error?.message ?? part.error));
  }
  await generateText({ ...frail, maxOutputTokens: 1 });
  return { text, errors };
});
