// As much of a browser as the page needs: elements with texts, and a fetch that knows the page's own host.
// Usage: node browser.mjs PAGE BASE; reads [["set", id, text] | ["click", id] | ["submit", id], …] from stdin, and prints
// what each element with an id says at the end, and every request that was made.
import { readFileSync } from "node:fs";
import vm from "node:vm";

const [page, base] = process.argv.slice(2);
const requests = [];
let pending = 0;

class Element {
  constructor(kind) { Object.assign(this, { kind, children: [], own: "", value: "", checked: false, heard: {} }); }
  get textContent() { return this.own + this.children.map((each) => each.textContent ?? each).join("|"); }
  set textContent(text) { this.own = String(text); this.children = []; }
  append(...more) { this.children.push(...more); }
  replaceChildren(...all) { this.own = ""; this.children = all; }
  remove() { this.own = ""; }
  addEventListener(name, heard) { this.heard[name] = heard; }
  requestSubmit() { this.heard.submit({ preventDefault() {} }); }
}

const elements = {}, stored = {};
const text = readFileSync(page, "utf8");
for (const [, kind, id] of text.matchAll(/<(\w+) id="(\w+)"/g)) elements[id] = new Element(kind);

const world = {
  document: { getElementById: (id) => elements[id], createElement: (kind) => new Element(kind) },
  sessionStorage: {
    getItem: (name) => stored[name] ?? null,
    setItem: (name, value) => { stored[name] = value; },
    removeItem: (name) => { delete stored[name]; },
  },
  AbortController, TextDecoderStream, Date, encodeURIComponent,
  async fetch(path, options = {}) {
    pending += 1;
    requests.push({ path, headers: options.headers });
    try {
      const { cache, credentials, ...rest } = options;
      return await fetch(base + path, rest);
    } finally {
      pending -= 1;
    }
  },
};
vm.runInNewContext(text.match(/<script>([^]*?)<\/script>/)[1], world);

async function settled() {
  for (let quiet = 0; quiet < 20; quiet = pending || elements.stop.disabled === false ? 0 : quiet + 1) {
    await new Promise((resume) => setTimeout(resume, 5));
  }
}

await settled();
for (const [what, id, value] of JSON.parse(readFileSync(0, "utf8"))) {
  if (what === "set") { elements[id].value = value; elements[id].heard.change?.(); }
  else if (what === "check") { elements[id].checked = value; elements[id].heard.change(); }
  else if (what === "click") elements[id].heard.click();
  else elements[id].requestSubmit();
  await settled();
}
const said = Object.fromEntries(Object.entries(elements).map(([id, element]) => [id, element.textContent]));
console.log(JSON.stringify({ said, requests, stored }));
process.exit(0);
