// What web pages written for Peerwave do: each network read is split into lines by itself, and nothing is carried over.
import { writeFileSync } from "node:fs";
import { check, settings } from "./checks.mjs";

const { url, models } = settings;

async function ask(model, content, onData) {
  const response = await fetch(`${url}/api/chat/stream`, {
    method: "POST",
    headers: { "Content-Type": "application/json", Authorization: settings.keys.good },
    body: JSON.stringify({
      model, messages: [{ role: "user", content }], options: { temperature: 0, num_predict: 12 },
    }),
  });
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    for (const line of decoder.decode(value).split("\n")) if (line) onData(JSON.parse(line));
  }
}

await check("lines", async () => {
  const seen = { text: "", credits: undefined };
  await ask(models.chat, "Name a colour.", (data) => {
    if (data.Credits !== undefined) seen.credits = data.Credits;
    seen.text += data.message?.content ?? "";
  });
  return seen;
});

await check("first_words_before_the_last", async () => {
  const seen = { before: "", text: "", credits: undefined };
  await ask(models.frail, "pause until lines: write a long story.", (data) => {
    seen.text += data.message?.content ?? "";
    if (data.Credits !== undefined) seen.credits = data.Credits;
    if (!seen.before && seen.text) {
      seen.before = seen.text;
      writeFileSync(`${settings.gates}/lines`, ""); // only now the provider goes on
    }
  });
  return seen;
});
